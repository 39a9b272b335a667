package checksum_test

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

var cols = []schema.Column{
	{Name: "id", Kind: schema.Int, Bits: 32},
	{Name: "city", Kind: schema.String, Nullable: true},
	{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2},
}

func sum(rows []schema.Row) checksum.Sum {
	r := checksum.New(cols)
	for _, row := range rows {
		r.Add(row)
	}
	return r.Sum()
}

func sample() []schema.Row {
	return []schema.Row{
		{{Int: 1}, {Bytes: []byte("São Paulo")}, {Int: 1050}},
		{{Int: 2}, {Null: true}, {Int: -5}},
		{{Int: 3}, {Bytes: []byte("Paris")}, {Int: 0}},
	}
}

// The server's figures for the same three rows:
// SELECT COUNT(*), SUM(c), SUM(c*c) FROM (SELECT CRC32(CONCAT_WS(X'1F', 1, 'São Paulo', '10.50')) c UNION …)
func TestSumIsWhatMySQLComputes(t *testing.T) {
	t.Parallel()
	var want uint64
	for _, text := range []string{"1\x1fSão Paulo\x1f10.50", "2\x1f\x00\x1f-0.05", "3\x1fParis\x1f0.00"} {
		want += uint64(crc(text))
	}
	b, err := json.Marshal(sum(sample()))
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(b, &got))
	require.EqualValues(t, 3, got["rows"])
	require.Equal(t, jsonNumber(want), got["sum_crc32"])
}

func TestOrderDoesNotMatterAndPartsAddUp(t *testing.T) {
	t.Parallel()
	rows := sample()
	want := sum(rows)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	require.Equal(t, want, sum(rows))
	require.Equal(t, want, sum(rows[:1]).Plus(sum(rows[1:])))
}

func TestEveryChangeShows(t *testing.T) {
	t.Parallel()
	want := sum(sample())
	for name, change := range map[string]func([]schema.Row) []schema.Row{
		"a flipped value": func(r []schema.Row) []schema.Row { r[1][2].Int = -6; return r },
		"NULL for empty":  func(r []schema.Row) []schema.Row { r[1][1] = schema.Value{}; return r },
		"a swapped value": func(r []schema.Row) []schema.Row { r[0][0], r[2][0] = r[2][0], r[0][0]; return r },
		"a missing row":   func(r []schema.Row) []schema.Row { return r[:2] },
		"a doubled row":   func(r []schema.Row) []schema.Row { return append(r, r[0]) },
		"a row for a row": func(r []schema.Row) []schema.Row { r[0] = r[1]; return r },
	} {
		require.NotEqual(t, want, sum(change(sample())), name)
	}
}

func TestLongTextCountsAsShortTextDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cols := []schema.Column{{Kind: schema.Bytes}, {Kind: schema.Int, Nullable: true}, {Kind: schema.String, Nullable: true}, {Kind: schema.Bytes}}
		long := func(name string) []byte {
			return bytes.Repeat([]byte(rapid.StringN(1, 5, 8).Draw(t, name)), rapid.SampledFrom([]int{0, 1, 900, 4096, 5000}).Draw(t, "times"))
		}
		row := schema.Row{{Bytes: long("a")}, {Int: 5, Bytes: long("stale")}, {Null: rapid.Bool().Draw(t, "null"), Bytes: long("b")}, {Bytes: long("c")}}
		rows := checksum.New(cols)
		require.Equal(t, crc32.ChecksumIEEE(checksum.AppendText(nil, cols, row)), rows.Add(row))
	})
}

func TestSumSurvivesJSON(t *testing.T) {
	t.Parallel()
	want := sum(sample())
	for range 1000 {
		want = want.Plus(want.Plus(sum(sample()[:1])))
		if want.Rows > 1<<40 {
			break
		}
	}
	b, err := json.Marshal(want)
	require.NoError(t, err)
	var got checksum.Sum
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, want, got)
	require.Error(t, json.Unmarshal([]byte(`{"rows":1,"sum_crc32":"-1","sum_crc32_squared":"x"}`), &got))
}

func crc(text string) uint32 { return crc32.ChecksumIEEE([]byte(text)) }

func jsonNumber(n uint64) string { return strconv.FormatUint(n, 10) }
