package parquetwriter_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

var everyKind = []schema.Column{
	{Name: "tiny", Kind: schema.Int, Bits: 8},
	{Name: "medium", Kind: schema.Int, Bits: 24, Nullable: true},
	{Name: "big", Kind: schema.Int, Bits: 64, Nullable: true},
	{Name: "flag", Kind: schema.Uint, Bits: 1},
	{Name: "uint", Kind: schema.Uint, Bits: 32, Nullable: true},
	{Name: "ubig", Kind: schema.Uint, Bits: 64, Nullable: true},
	{Name: "percent", Kind: schema.Decimal, Precision: 4, Scale: 2},
	{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true},
	{Name: "wide", Kind: schema.Decimal, Precision: 65, Scale: 30, Nullable: true},
	{Name: "f", Kind: schema.Float, Nullable: true},
	{Name: "d", Kind: schema.Double},
	{Name: "my name é.x", Kind: schema.String, Nullable: true},
	{Name: "blob", Kind: schema.Bytes},
	{Name: "day", Kind: schema.Date, Nullable: true},
	{Name: "at", Kind: schema.Datetime, Fraction: 6},
	{Name: "seen", Kind: schema.Timestamp, Nullable: true},
	{Name: "took", Kind: schema.Time, Fraction: 3},
	{Name: "embedding", Kind: schema.Vector},
}

func rowOf(t *rapid.T) schema.Row {
	i64 := func(lo, hi int64) schema.Value { return schema.Value{Int: rapid.Int64Range(lo, hi).Draw(t, "int")} }
	null := func(v schema.Value) schema.Value {
		if rapid.Bool().Draw(t, "null") {
			return schema.Value{Null: true}
		}
		return v
	}
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "Nantes", "São Paulo"})).Draw(t, "text")
	wide, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,64}`).Draw(t, "wide"), 10)
	return schema.Row{
		i64(-128, 127), null(i64(-1<<23, 1<<23-1)), null(i64(math.MinInt64, math.MaxInt64)),
		i64(0, 1), null(i64(0, math.MaxUint32)), null(schema.Value{Int: int64(rapid.Uint64().Draw(t, "uint"))}),
		i64(-9999, 9999), null(i64(-9999999999, 9999999999)), null(schema.Value{Bytes: schema.AppendUnscaled(nil, wide)}),
		null(schema.Value{Float: float64(rapid.Float32().Draw(t, "f"))}), {Float: rapid.Float64().Draw(t, "d")},
		null(schema.Value{Bytes: []byte(text)}), {Bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "blob")},
		null(i64(-700000, 2900000)), i64(-1<<50, 1<<50), null(i64(0, 1<<50)), i64(-3020399e6, 3020399e6),
		{Vector: rapid.SliceOfN(rapid.Float32Range(-1, 1), 0, 5).Draw(t, "vector")},
	}
}

func write(t require.TestingT, cols []schema.Column, rows []schema.Row) []byte {
	var buf bytes.Buffer
	w, err := parquetwriter.New(&buf, cols)
	require.NoError(t, err)
	for _, row := range rows {
		require.NoError(t, w.Append(row))
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func sumOf(cols []schema.Column, rows []schema.Row) checksum.Sum {
	sum := checksum.New(cols)
	for _, row := range rows {
		sum.Add(row)
	}
	return sum.Sum()
}

func TestEveryKindOfValueComesBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Custom(rowOf)).Draw(t, "rows")
		file := write(t, everyKind, in)
		require.Equal(t, file, write(t, everyKind, in), "the same rows give the same bytes")
		require.NoError(t, parquetfile.Verify(bytes.NewReader(file), int64(len(file)), sumOf(everyKind, in)))

		r, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
		require.NoError(t, err)
		require.Equal(t, everyKind, r.Columns())
		var row schema.Row
		for _, want := range in {
			row, err = r.Next(row)
			require.NoError(t, err)
			require.Equal(t,
				string(checksum.AppendText(nil, everyKind, want)), string(checksum.AppendText(nil, everyKind, row)))
		}
		_, err = r.Next(row)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, r.Close())
	})
}

func TestAWriterWritesOneFileAfterAnother(t *testing.T) {
	t.Parallel()
	cols := []schema.Column{{Name: "a b", Kind: schema.Int, Bits: 32}, {Name: "a32b", Kind: schema.String, Nullable: true}}
	rows := [][]schema.Row{
		{{{Int: 1}, {Bytes: []byte("x")}}, {{Int: 1}, {Null: true}}},
		{{{Int: 2}, {Bytes: []byte("y")}}, {{Int: 2}, {Bytes: []byte("x")}}},
	}
	var first, second bytes.Buffer
	w, err := parquetwriter.New(&first, cols)
	require.NoError(t, err)
	for _, row := range rows[0] {
		require.NoError(t, w.Append(row))
	}
	require.NoError(t, w.Close())
	require.NoError(t, w.Begin(&second))
	require.Zero(t, w.Size())
	for _, row := range rows[1] {
		require.NoError(t, w.Append(row))
	}
	require.NoError(t, w.Close())
	require.Equal(t, write(t, cols, rows[0]), first.Bytes())
	require.Equal(t, write(t, cols, rows[1]), second.Bytes())
}

// severalPages has more rows than a page and, by its size, than a row group.
func severalPages() []schema.Row {
	var rows []schema.Row
	noise := rand.NewChaCha8([32]byte{}) // what does not compress fills row groups
	for i := range 70_000 {
		photo := make([]byte, 300)
		_, _ = noise.Read(photo)
		row := schema.Row{
			{Int: int64(i)}, {Int: -1 - int64(i)}, {Bytes: []byte{byte('a' + i%7), 0xC3, 0xA9}},
			{Bytes: schema.AppendUnscaled(nil, big.NewInt(int64(i-35_000)))},
			{Bytes: photo}, {Float: float64(i%3) - 1},
			{Vector: make([]float32, i%40)},
		}
		for k := range row[6].Vector {
			row[6].Vector[k] = float32(i) / 8
		}
		if i%3 == 0 || i > 45_000 && i < 66_000 { // a whole page of NULLs
			row[2] = schema.Value{Null: true}
		}
		rows = append(rows, row)
	}
	return rows
}

var severalPagesColumns = []schema.Column{
	{Name: "id", Kind: schema.Int, Bits: 32},
	{Name: "top", Kind: schema.Uint, Bits: 64},
	{Name: "city", Kind: schema.String, Nullable: true},
	{Name: "balance", Kind: schema.Decimal, Precision: 30, Scale: 4},
	{Name: "photo", Kind: schema.Bytes},
	{Name: "sign", Kind: schema.Double},
	{Name: "embedding", Kind: schema.Vector},
}

func TestStatisticsAreWhatTheValuesSay(t *testing.T) {
	t.Parallel()
	in := severalPages()
	data := write(t, severalPagesColumns, in)
	require.NoError(t, parquetfile.Verify(bytes.NewReader(data), int64(len(data)), sumOf(severalPagesColumns, in)))

	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	require.Greater(t, len(file.RowGroups()), 1)
	require.Len(t, file.Metadata().ColumnOrders, len(severalPagesColumns))
	emptyPages := 0
	for g, group := range file.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			index, err := chunk.ColumnIndex()
			require.NoError(t, err)
			offsets, err := chunk.OffsetIndex()
			require.NoError(t, err)
			pages := chunk.Pages()
			var nulls, firstRow int64
			var least, greatest parquet.Value
			for p := range index.NumPages() {
				page, err := pages.ReadPage()
				require.NoError(t, err)
				values := make([]parquet.Value, page.NumValues())
				n, err := page.Values().ReadValues(values)
				require.Len(t, values, n)
				if !errors.Is(err, io.EOF) {
					require.NoError(t, err)
				}
				var pageNulls int64
				var low, high parquet.Value
				for _, v := range values {
					switch {
					case v.IsNull():
						pageNulls++
					case low.IsNull():
						low, high = v, v
					default:
						low, high = lesser(chunk.Type(), low, v), greater(chunk.Type(), high, v)
					}
				}
				require.Equal(t, pageNulls, index.NullCount(p))
				require.Equal(t, low.IsNull(), index.NullPage(p))
				require.Equal(t, firstRow, offsets.FirstRowIndex(p))
				if !low.IsNull() {
					require.LessOrEqual(t, order(chunk.Type(), index.MinValue(p), low), 0)
					require.GreaterOrEqual(t, order(chunk.Type(), index.MaxValue(p), high), 0)
					if severalPagesColumns[i].Kind != schema.Bytes { // whose bounds are shortened
						require.Equal(t, low.Bytes(), index.MinValue(p).Bytes())
						require.Equal(t, high.Bytes(), index.MaxValue(p).Bytes())
					} else {
						require.LessOrEqual(t, len(index.MaxValue(p).Bytes()), 64)
					}
					if least.IsNull() {
						least, greatest = low.Clone(), high.Clone()
					}
					least, greatest = lesser(chunk.Type(), least, low).Clone(), greater(chunk.Type(), greatest, high).Clone()
				} else {
					emptyPages++
				}
				nulls += pageNulls
				firstRow += page.NumRows()
			}
			_, err = pages.ReadPage()
			require.ErrorIs(t, err, io.EOF, "every page is in the index")
			require.Equal(t, group.NumRows(), firstRow)
			if severalPagesColumns[i].Name == "id" {
				require.True(t, index.IsAscending())
			}
			stats := file.Metadata().RowGroups[g].Columns[i].MetaData.Statistics
			require.Equal(t, nulls, stats.NullCount)
			require.Equal(t, least.Bytes(), stats.MinValue)
			require.Equal(t, greatest.Bytes(), stats.MaxValue)
		}
	}
	require.Positive(t, emptyPages)
}

// order is the format's; parquet-go itself orders fixed-length decimals as unsigned bytes.
func order(typ parquet.Type, a, b parquet.Value) int {
	if typ.Kind() == parquet.FixedLenByteArray {
		return schema.Unscaled(a.Bytes()).Cmp(schema.Unscaled(b.Bytes()))
	}
	return typ.Compare(a, b)
}

func lesser(typ parquet.Type, a, b parquet.Value) parquet.Value {
	if order(typ, b, a) < 0 {
		return b
	}
	return a
}

func greater(typ parquet.Type, a, b parquet.Value) parquet.Value {
	if order(typ, b, a) > 0 {
		return b
	}
	return a
}

func TestADictionaryThatFillsUpIsFollowedByPlainPages(t *testing.T) {
	t.Parallel()
	cols := []schema.Column{{Name: "text", Kind: schema.String, Nullable: true}, {Name: "number", Kind: schema.Int, Bits: 32}, {Name: "unique", Kind: schema.String}, {Name: "unique number", Kind: schema.Int, Bits: 64}}
	var in []schema.Row
	for i := range 90_000 {
		n := i
		if i < 25_000 {
			n = i % 10
		}
		row := schema.Row{
			{Bytes: fmt.Appendf(nil, "%040d", n)}, {Int: int64(n)}, {Bytes: fmt.Appendf(nil, "%d", -i)}, {Int: int64(-i)},
		}
		if i%5 == 0 || i > 80_000 { // the last page has no texts at all
			row[0] = schema.Value{Null: true}
		}
		in = append(in, row)
	}
	data := write(t, cols, in)
	require.NoError(t, parquetfile.Verify(bytes.NewReader(data), int64(len(data)), sumOf(cols, in)))
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	var indexed [4][]bool
	for i, chunk := range file.RowGroups()[0].ColumnChunks() {
		pages := chunk.Pages()
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			indexed[i] = append(indexed[i], page.Dictionary() != nil)
		}
	}
	plain := []bool{false, false, false, false, false}
	require.Equal(t, [4][]bool{{true, true, false, false, false}, {true, false, false, false, false}, plain, plain}, indexed)
	for i, chunk := range file.Metadata().RowGroups[0].Columns {
		require.Equal(t, i < 2, slices.Contains(chunk.MetaData.Encoding, format.RLEDictionary), "a dictionary that no page uses is not written")
		require.Equal(t, i < 2, chunk.MetaData.DictionaryPageOffset > 0)
	}
}

func TestZeroBoundsCoverBothZeroes(t *testing.T) {
	t.Parallel()
	cols := []schema.Column{{Name: "d", Kind: schema.Double}}
	data := write(t, cols, []schema.Row{{{Float: 0}}, {{Float: math.Copysign(0, -1)}}})
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	stats := file.Metadata().RowGroups[0].Columns[0].MetaData.Statistics
	require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, stats.MinValue)
	require.Equal(t, make([]byte, 8), stats.MaxValue)
}

// TestShortenedBoundsStillBound covers text of which neither prefix nor last character is simple.
func TestShortenedBoundsStillBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'é', '\uD7FF', '\U0010FFFF', '\x7F'}), 30, 90, -1).Draw(t, "text")
		kind := rapid.SampledFrom([]schema.Kind{schema.String, schema.Bytes}).Draw(t, "kind")
		if kind == schema.Bytes && rapid.Bool().Draw(t, "ff") {
			text = string(bytes.Repeat([]byte{0xFF}, 70))
		}
		data := write(t, []schema.Column{{Name: "s", Kind: kind}}, []schema.Row{{{Bytes: []byte(text)}}})
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		require.NoError(t, err)
		index, err := file.RowGroups()[0].ColumnChunks()[0].ColumnIndex()
		require.NoError(t, err)
		low, high := index.MinValue(0).Bytes(), index.MaxValue(0).Bytes()
		require.LessOrEqual(t, bytes.Compare(low, []byte(text)), 0)
		require.GreaterOrEqual(t, bytes.Compare(high, []byte(text)), 0)
		require.LessOrEqual(t, len(low), 64)
		if kind == schema.String {
			require.True(t, utf8.Valid(low))
			require.True(t, utf8.Valid(high))
		}
	})
}

func TestWhatAColumnCannotHoldIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		column schema.Column
		value  schema.Value
	}{
		"int out of range":      {schema.Column{Kind: schema.Int, Bits: 8}, schema.Value{Int: 128}},
		"negative unsigned":     {schema.Column{Kind: schema.Uint, Bits: 32}, schema.Value{Int: -1}},
		"too many digits":       {schema.Column{Kind: schema.Decimal, Precision: 4, Scale: 2}, schema.Value{Int: 10000}},
		"wide decimal too wide": {schema.Column{Kind: schema.Decimal, Precision: 19}, schema.Value{Bytes: bytes.Repeat([]byte{1}, 20)}},
		"double as float":       {schema.Column{Kind: schema.Float}, schema.Value{Float: 0.1}},
		"NaN":                   {schema.Column{Kind: schema.Double}, schema.Value{Float: math.NaN()}},
		"NULL":                  {schema.Column{Kind: schema.String}, schema.Value{Null: true}},
		"NULL vector":           {schema.Column{Kind: schema.Vector}, schema.Value{Null: true}},
		"invalid UTF-8":         {schema.Column{Kind: schema.String}, schema.Value{Bytes: []byte{0xC3}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.column.Name = "amount"
			w, err := parquetwriter.New(io.Discard, []schema.Column{c.column})
			require.NoError(t, err)
			require.ErrorContains(t, errors.Join(w.Append(schema.Row{c.value}), w.Close()), "amount")
		})
	}
}

func TestDamageIsNeverReadAsOtherRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Custom(rowOf), 3, 20).Draw(t, "rows")
		file, want := write(t, everyKind, in), sumOf(everyKind, in)
		file[rapid.IntRange(0, len(file)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := parquetfile.Checksum(bytes.NewReader(file), int64(len(file))); err == nil && got != want {
			require.ErrorIs(t, parquetfile.Verify(bytes.NewReader(file), int64(len(file)), want), parquetfile.ErrDifferent)
		}
	})
}

func TestTheFileSaysExactlyWhatItHolds(t *testing.T) {
	t.Parallel()
	data := write(t, everyKind, nil)
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	var cols []schema.Column
	text, _ := file.Lookup(parquetfile.ColumnsKey)
	require.NoError(t, json.Unmarshal([]byte(text), &cols))
	require.Equal(t, everyKind, cols)
	require.Contains(t, file.Metadata().CreatedBy, "millrace")
	require.Equal(t, `message schema {
	required int32 tiny (INT(8,true));
	optional int32 medium (INT(32,true));
	optional int64 big (INT(64,true));
	required int32 flag (INT(8,true));
	optional int64 uint (INT(64,true));
	optional fixed_len_byte_array(9) ubig (DECIMAL(20,0));
	required int32 percent (DECIMAL(4,2));
	optional int64 price (DECIMAL(10,2));
	optional fixed_len_byte_array(28) wide (DECIMAL(65,30));
	optional float f;
	required double d;
	optional binary my name é.x (STRING);
	required binary blob;
	optional int32 day (DATE);
	required int64 at (TIMESTAMP(isAdjustedToUTC=false,unit=MICROS));
	optional int64 seen (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int64 took (INT(64,true));
	required group embedding (LIST) {
		repeated group list {
			required float element;
		}
	}
}`, file.Schema().String())
}
