package rowbatch_test

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

var cols = []schema.Column{
	{Name: "int", Kind: schema.Int, Bits: 64},
	{Name: "null int", Kind: schema.Int, Bits: 64, Nullable: true},
	{Name: "uint", Kind: schema.Uint, Bits: 64},
	{Name: "double", Kind: schema.Double, Nullable: true},
	{Name: "text", Kind: schema.String},
	{Name: "bytes", Kind: schema.Bytes, Nullable: true},
	{Name: "wide", Kind: schema.Decimal, Precision: 40, Scale: 3},
}

func rows(t *rapid.T, label string) []schema.Row {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) schema.Row {
		row := make(schema.Row, len(cols))
		for i, c := range cols {
			if c.Nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
				row[i].Null = true
				continue
			}
			switch {
			case c.Kind == schema.Decimal:
				n := big.NewInt(rapid.Int64().Draw(t, "n"))
				n.Mul(n, big.NewInt(rapid.Int64Range(-3, 3).Draw(t, "factor")))
				row[i].Bytes = schema.AppendUnscaled(nil, n)
			case rowbatch.FormOf(c) == rowbatch.Integers:
				row[i].Int = rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2)).Draw(t, "int")
			case rowbatch.FormOf(c) == rowbatch.Floats:
				row[i].Float = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, -1, 1})).Draw(t, "float")
			default:
				row[i].Bytes = []byte(rapid.StringMatching(`[a\x00é]{0,10}`).Draw(t, "text"))
			}
		}
		return row
	}), 1, 20).Draw(t, label)
}

func batch(rows []schema.Row) *rowbatch.Batch {
	b := rowbatch.New(cols)
	for _, row := range rows {
		b.Append(row)
	}
	return b
}

func requireRows(t require.TestingT, want []schema.Row, b *rowbatch.Batch) {
	require.Equal(t, len(want), b.Len())
	for i, row := range want {
		got := b.Row(i, nil)
		for k, v := range row {
			require.Equal(t, v.Null, got[k].Null)
			if !v.Null {
				require.Equal(t, v.Int, got[k].Int)
				require.Equal(t, v.Float, got[k].Float)
				require.True(t, bytes.Equal(v.Bytes, got[k].Bytes))
			}
		}
	}
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rows(t, "rows")
		b := batch(all)
		requireRows(t, all, b)
		want := checksum.New(cols)
		for _, row := range all {
			want.Add(row)
		}
		sum := rowbatch.NewChecksum(cols)
		sum.Add(b)
		require.Equal(t, want.Sum(), sum.Sum())

		from := rapid.IntRange(0, len(all)).Draw(t, "from")
		to := rapid.IntRange(from, len(all)).Draw(t, "to")
		out := batch(all[:1])
		out.AppendRange(b, from, to)
		requireRows(t, append([]schema.Row{all[0]}, all[from:to]...), out)

		at := rapid.SliceOf(rapid.Uint32Range(0, uint32(len(all)-1))).Draw(t, "at")
		picked := rowbatch.New(cols)
		var picks []schema.Row
		for i := range picked.Columns {
			picked.Columns[i].AppendAt(&b.Columns[i], at)
		}
		picked.SetLen(len(at))
		for _, i := range at {
			picks = append(picks, all[i])
		}
		requireRows(t, picks, picked)

		b.Reset()
		require.Zero(t, b.Len())
		require.Zero(t, b.Size())
	})
}

func TestOrderIsThatOfTheSortKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rows(t, "rows")
		b := batch(all)
		for k, c := range cols {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "i")
			j := rapid.IntRange(0, len(all)-1).Draw(t, "j")
			want := bytes.Compare(schema.AppendOrdered(nil, c, all[i][k]), schema.AppendOrdered(nil, c, all[j][k]))
			require.Equal(t, want, b.Compare([]int{k}, i, b, j), "%s: %v, %v", c.Name, all[i][k], all[j][k])
			if p, q := b.Columns[k].Prefix(i), b.Columns[k].Prefix(j); p != q {
				require.Equal(t, want < 0, p < q, "prefix of %s: %v, %v", c.Name, all[i][k], all[j][k])
			}
		}
	})
}
