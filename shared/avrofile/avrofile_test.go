package avrofile_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"testing"

	"github.com/hamba/avro/v2/ocf"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

var everyKind = []schema.Column{
	{Name: "tiny", Kind: schema.Int, Bits: 8},
	{Name: "big", Kind: schema.Int, Bits: 64, Nullable: true},
	{Name: "ubig", Kind: schema.Uint, Bits: 64},
	{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true},
	{Name: "wide", Kind: schema.Decimal, Precision: 65, Scale: 30},
	{Name: "f", Kind: schema.Float},
	{Name: "d", Kind: schema.Double},
	{Name: "my name é", Kind: schema.String, Nullable: true},
	{Name: "blob", Kind: schema.Bytes},
	{Name: "day", Kind: schema.Date},
	{Name: "at", Kind: schema.Datetime, Fraction: 6},
	{Name: "seen", Kind: schema.Timestamp},
	{Name: "took", Kind: schema.Time, Fraction: 3},
}

func rows() *rapid.Generator[[]schema.Row] {
	return rapid.SliceOf(rapid.Custom(func(t *rapid.T) schema.Row {
		i64 := func(lo, hi int64) schema.Value { return schema.Value{Int: rapid.Int64Range(lo, hi).Draw(t, "int")} }
		null := func(v schema.Value) schema.Value {
			if rapid.Bool().Draw(t, "null") {
				return schema.Value{Null: true}
			}
			return v
		}
		text := []byte(rapid.String().Draw(t, "text"))
		wide, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,64}`).Draw(t, "wide"), 10)
		return schema.Row{
			i64(-128, 127), null(i64(math.MinInt64, math.MaxInt64)), {Int: int64(rapid.Uint64().Draw(t, "uint"))},
			null(i64(-9999999999, 9999999999)), {Bytes: schema.AppendUnscaled(nil, wide)},
			{Float: float64(rapid.Float32().Draw(t, "f"))}, {Float: rapid.Float64().Draw(t, "d")},
			null(schema.Value{Bytes: text}), {Bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "blob")},
			i64(-700000, 2900000), i64(-1<<50, 1<<50), i64(0, 1<<50), i64(-3020399e6, 3020399e6),
		}
	}))
}

func write(t require.TestingT, rows []schema.Row) []byte {
	var buf bytes.Buffer
	w, err := avrofile.NewWriter(&buf, everyKind)
	require.NoError(t, err)
	for _, row := range rows {
		require.NoError(t, w.Append(row))
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func read(file []byte) (n int, sum checksum.Sum, err error) {
	r, err := avrofile.NewReader(bytes.NewReader(file))
	if err != nil {
		return 0, sum, err
	}
	rows := checksum.New(r.Columns())
	var row schema.Row
	for ; ; n++ {
		if row, err = r.Next(row); errors.Is(err, io.EOF) {
			return n, rows.Sum(), nil
		} else if err != nil {
			return n, rows.Sum(), err
		}
		rows.Add(row)
	}
}

func TestEveryKindOfValueComesBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rows().Draw(t, "rows")
		file := write(t, in)
		require.Equal(t, file, write(t, in), "the same rows give the same bytes")
		r, err := avrofile.NewReader(bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, everyKind, r.Columns())
		for _, want := range in {
			got, err := r.Next(nil)
			require.NoError(t, err)
			require.Equal(t,
				string(checksum.AppendText(nil, everyKind, want)), string(checksum.AppendText(nil, everyKind, got)))
		}
		_, err = r.Next(nil)
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestAnIndependentReaderSeesTheRows(t *testing.T) {
	t.Parallel()
	row := schema.Row{
		{Int: -5}, {Null: true}, {Int: -1}, {Int: 1050}, {Bytes: []byte{1}}, {Float: 0.5}, {Float: 0.1},
		{Bytes: []byte("São Paulo")}, {Bytes: []byte{0, 1}}, {Int: 12000}, {Int: 1}, {Int: 2}, {Int: -3},
	}
	decoder, err := ocf.NewDecoder(bytes.NewReader(write(t, []schema.Row{row, row})))
	require.NoError(t, err)
	var got map[string]any
	require.True(t, decoder.HasNext())
	require.NoError(t, decoder.Decode(&got))
	require.Equal(t, -5, got["tiny"])
	require.Nil(t, got["big"])
	require.Equal(t, "São Paulo", got["column_8"])
	require.Equal(t, "21/2", got["price"].(*big.Rat).String())
	require.Equal(t, "18446744073709551615/1", got["ubig"].(*big.Rat).String())
}

func TestDamageIsNeverReadAsRows(t *testing.T) {
	t.Parallel()
	in := rapid.Custom(func(t *rapid.T) []schema.Row { return rows().Draw(t, "rows") }).
		Filter(func(r []schema.Row) bool { return len(r) > 2 })
	rapid.Check(t, func(t *rapid.T) {
		file := write(t, in.Draw(t, "rows"))
		n, sum, err := read(file)
		require.NoError(t, err)
		damaged := bytes.Clone(file)
		damaged[rapid.IntRange(0, len(file)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		n2, sum2, err := read(damaged)
		// A flip in the Avro schema's own text leaves the rows as they are; the file's SHA-256 shows it.
		if err == nil {
			require.Equal(t, n, n2)
			require.Equal(t, sum, sum2)
		}
		_, _, err = read(file[:len(file)-1-rapid.IntRange(0, 15).Draw(t, "cut")])
		require.Error(t, err)
	})
}
