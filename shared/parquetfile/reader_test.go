package parquetfile_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// foreign is a row as another program may write it: unsigned and optional columns, a list.
type foreign struct {
	ID        string    `parquet:"id"`
	Stock     uint32    `parquet:"stock"`
	Views     uint64    `parquet:"views"`
	Price     int64     `parquet:"price,decimal(2:10)"`
	Seen      time.Time `parquet:"seen,timestamp(microsecond)"`
	Note      *string   `parquet:"note,optional"`
	Sold      bool      `parquet:"sold"`
	Embedding []float32 `parquet:"embedding,list"`
}

func open(t *testing.T, file []byte) *parquetfile.Reader {
	t.Helper()
	r, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return r
}

func written[T any](t *testing.T, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, options...)
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestFilesFromElsewhereAreRead(t *testing.T) {
	t.Parallel()
	note := "très bien"
	r := open(t, written(t, []foreign{
		{ID: "S10", Stock: 1<<32 - 1, Views: 1<<64 - 1, Price: -5, Seen: time.UnixMicro(7), Note: &note, Sold: true, Embedding: []float32{0.5, -1}},
		{ID: "S12"},
	}))
	var kinds []schema.Kind
	for _, c := range r.Columns() {
		kinds = append(kinds, c.Kind)
	}
	require.Equal(t, []schema.Kind{
		schema.String, schema.Uint, schema.Uint, schema.Decimal, schema.Timestamp, schema.String, schema.Int, schema.Vector,
	}, kinds)
	row, err := r.Next(nil)
	require.NoError(t, err)
	var texts []string
	for i, v := range row {
		texts = append(texts, schema.Text(r.Columns()[i], v))
	}
	require.Equal(t, []string{
		"S10", "4294967295", "18446744073709551615", "-0.05", "1970-01-01 00:00:00.000007", "très bien", "1", "0.5 -1",
	}, texts)
	row, err = r.Next(row)
	require.NoError(t, err)
	require.True(t, row[5].Null)
	require.Empty(t, row[7].Vector)
	_, err = r.Next(row)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, r.Close())
}

func TestAVectorWithoutANumberIsRefused(t *testing.T) {
	t.Parallel()
	type optional struct {
		Embedding []*float32 `parquet:"embedding,list"`
	}
	number := float32(1)
	for name, embedding := range map[string][]*float32{"first": {nil, &number}, "second": {&number, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, written(t, []optional{{embedding}})).Next(nil)
			require.ErrorContains(t, err, "column embedding: a vector has a NULL element")
		})
	}
}

func TestRowsSpanPagesAndRowGroups(t *testing.T) {
	t.Parallel()
	rows := make([]foreign, 5000)
	for i := range rows {
		rows[i].Stock, rows[i].Embedding = uint32(i), make([]float32, i%5)
	}
	r := open(t, written(t, rows, parquet.PageBufferSize(1000), parquet.MaxRowsPerRowGroup(1500)))
	require.EqualValues(t, 5000, r.Rows())
	var row schema.Row
	for i := range rows {
		var err error
		row, err = r.Next(row)
		require.NoError(t, err)
		require.EqualValues(t, i, row[1].Int)
		require.Len(t, row[7].Vector, i%5)
	}
	_, err := r.Next(row)
	require.ErrorIs(t, err, io.EOF)
}

func TestColumnsThatContradictTheFileAreRefused(t *testing.T) {
	t.Parallel()
	type row struct {
		ID int32 `parquet:"id"`
	}
	for name, columns := range map[string]string{
		"other type": `[{"name":"id","kind":"string"}]`,
		"other name": `[{"name":"number","kind":"int","bits":32}]`,
		"nullable":   `[{"name":"id","kind":"int","bits":32,"nullable":true}]`,
		"two":        `[{"name":"id","kind":"int","bits":32},{"name":"b","kind":"int","bits":32}]`,
		"no JSON":    `[`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := written(t, []row{{1}}, parquet.KeyValueMetadata(parquetfile.ColumnsKey, columns))
			_, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
			require.ErrorContains(t, err, parquetfile.ColumnsKey)
		})
	}
}

func TestTimesOfOtherUnitsKeepTheirInstant(t *testing.T) {
	t.Parallel()
	type times struct {
		Millis int64    `parquet:"millis,timestamp(millisecond)"`
		Nanos  int64    `parquet:"nanos,timestamp(nanosecond:local)"`
		Clock  int32    `parquet:"clock,time(millisecond)"`
		ID     [16]byte `parquet:"id,uuid"`
	}
	r := open(t, written(t, []times{{-1, -1000, -4, [16]byte{0xAB, 15: 1}}, {1_700_000_000_123, 1_700_000_000_123_456_000, 3_723_004, [16]byte{}}}))
	var got []string
	for range 2 {
		row, err := r.Next(nil)
		require.NoError(t, err)
		for i, v := range row {
			got = append(got, schema.Text(r.Columns()[i], v))
		}
	}
	require.Equal(t, []string{
		"1969-12-31 23:59:59.999", "1969-12-31 23:59:59.999999", "-00:00:00.004", "ab000000-0000-0000-0000-000000000001",
		"2023-11-14 22:13:20.123", "2023-11-14 22:13:20.123456", "01:02:03.004", "00000000-0000-0000-0000-000000000000",
	}, got)
}

// half is declared FLOAT16, as PyArrow does.
type half struct{ parquet.Type }

func (half) LogicalType() *format.LogicalType {
	return &format.LogicalType{Value: &format.Float16Type{}}
}

func TestWhatCannotBeReadExactlyIsNamed(t *testing.T) {
	t.Parallel()
	type nested struct {
		Tags []string `parquet:"tags,list"`
	}
	list := written(t, []nested{{}})
	_, err := parquetfile.Open(bytes.NewReader(list), int64(len(list)))
	require.ErrorContains(t, err, "column tags is nested, and only lists of float32 are read: flatten it")

	type number struct {
		ID int64 `parquet:"id"`
	}
	packed := written(t, []number{{1}}, parquet.Compression(&parquet.Lz4Raw))
	_, err = parquetfile.Open(bytes.NewReader(packed), int64(len(packed)))
	require.ErrorContains(t, err, "column id is compressed by LZ4_RAW, which is not read: write zstd, snappy, gzip or none")

	halves := written(t, []struct {
		Half [2]byte `parquet:"half"`
	}{{}}, parquet.NewSchema("halves", parquet.Group{"half": parquet.Leaf(half{parquet.FixedLenByteArrayType(2)})}))
	_, err = parquetfile.Open(bytes.NewReader(halves), int64(len(halves)))
	require.ErrorContains(t, err, "column half is a FLOAT16, which is not read: write FLOAT")

	type clock struct {
		At int64 `parquet:"at,timestamp(nanosecond)"`
	}
	_, err = open(t, written(t, []clock{{1_000}, {1_001}})).Next(nil)
	require.ErrorContains(t, err, "column at: 1001 nanoseconds are not whole microseconds: write the column as TIMESTAMP(MICROS)")

	_, err = parquetfile.Open(bytes.NewReader([]byte("PAR1 and then nothing")), 21)
	require.ErrorContains(t, err, "not a readable Parquet file")
}
