package partition_test

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/schema"
)

// manifestByHand is all that an operator has to write.
const manifestByHand = `{
  "format": "millrace/raw/1", "dataset": "classicmodels", "run": "20261122T020000Z", "table": "sensors", "key": ["id"],
  "files": [FILES]
}`

const sensorsDir = "raw/sensors/dt=2026-11-22/run=20261122T020000Z/"

// drop puts files below raw/ with a manifest that lists them, their other figures as given.
func drop(t *testing.T, files map[string][]byte, listed string) (lake.Store, string) {
	t.Helper()
	s := setup(t)
	for name, content := range files {
		require.NoError(t, s.Put(t.Context(), sensorsDir+name, bytes.NewReader(content)))
	}
	key := lake.RawMarker("sensors", night)
	require.NoError(t, s.Put(t.Context(), key, strings.NewReader(strings.Replace(manifestByHand, "FILES", listed, 1))))
	return s, key
}

func list(names ...string) string {
	for i, name := range names {
		names[i] = `{"key": "` + sensorsDir + name + `"}`
	}
	return strings.Join(names, ", ")
}

const foreignSchema = `{"type": "record", "name": "sensor", "fields": [
  {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
  {"name": "area", "type": {"type": "fixed", "name": "wide", "size": 12, "logicalType": "decimal", "precision": 25, "scale": 3}},
  {"name": "day", "type": {"type": "int", "logicalType": "date"}},
  {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
  {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
  {"name": "on", "type": [{"type": "boolean"}, "null"]},
  {"name": "state", "type": {"type": "enum", "name": "states", "symbols": ["NEW", "OLD"]}},
  {"name": "count", "type": "int"}
]}`

func foreignAvro(t *testing.T, codec ocf.CodecName) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := ocf.NewEncoder(foreignSchema, &file, ocf.WithCodec(codec))
	require.NoError(t, err)
	seen := time.UnixMilli(1_700_000_000_123).UTC()
	for _, row := range []map[string]any{
		{
			"id": "b0000000-0000-0000-0000-000000000000", "price": big.NewRat(-5, 100), "area": big.NewRat(1_000_001, 1000),
			"day": time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), "seen": map[string]any{"long.timestamp-millis": seen},
			"at": time.Date(2026, 11, 22, 1, 2, 3, 4000, time.UTC), "on": map[string]any{"boolean": true}, "state": "OLD", "count": 7,
		},
		{
			"id": "a0000000-0000-0000-0000-000000000000", "price": big.NewRat(99999999_99, 100), "area": big.NewRat(-1, 1000),
			"day": time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), "seen": nil,
			"at": time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), "on": nil, "state": "NEW", "count": -1,
		},
	} {
		require.NoError(t, w.Encode(row))
	}
	require.NoError(t, w.Close())
	return file.Bytes()
}

func TestAvroFromElsewhereIsPartitionedWhateverItsCodec(t *testing.T) {
	t.Parallel()
	for _, codec := range []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy, ocf.ZStandard} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			s, manifest := drop(t, map[string][]byte{"part-00000.avro": foreignAvro(t, codec)}, list("part-00000.avro"))
			result, err := partition.Write(t.Context(), s, manifest, partition.Options{PartitionBy: []string{"month(at)"}, Limits: partition.DefaultLimits()})
			require.NoError(t, err)
			require.Equal(t, []schema.Column{
				{Name: "id", Kind: schema.String},
				{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2},
				{Name: "area", Kind: schema.Decimal, Precision: 25, Scale: 3},
				{Name: "day", Kind: schema.Date},
				{Name: "seen", Kind: schema.Timestamp, Fraction: 3, Nullable: true},
				{Name: "at", Kind: schema.Datetime, Fraction: 6},
				{Name: "on", Kind: schema.Int, Bits: 8, Nullable: true},
				{Name: "state", Kind: schema.String},
				{Name: "count", Kind: schema.Int, Bits: 32},
			}, result.Marker.Columns)
			require.Len(t, result.Marker.Files, 2)
			require.Equal(t, "2026-11", *result.Marker.Files[0].Partition[0].Value)
			require.Contains(t, result.Marker.Files[1].Key, "curated/sensors/dt=2026-11-22/at_month=2026-12/")
			require.Equal(t, []string{"b0000000-0000-0000-0000-000000000000|-0.05|1000.001|2026-11-22|2023-11-14 22:13:20.123|2026-11-22 01:02:03.000004|1|OLD|7"},
				curated(t, s, result.Marker.Files[0]))
			require.Equal(t, []string{"a0000000-0000-0000-0000-000000000000|99999999.99|-0.001|1969-12-31|NULL|2026-12-01 00:00:00.000000|NULL|NEW|-1"},
				curated(t, s, result.Marker.Files[1]))
			require.Equal(t, "full", result.Marker.Mode)
			require.EqualValues(t, 2, result.Marker.Rows)

			again, err := partition.Write(t.Context(), s, manifest, partition.Options{PartitionBy: []string{"month(at)"}, Limits: partition.DefaultLimits()})
			require.NoError(t, err)
			require.False(t, again.Published)
		})
	}
}

// sensor is a row as another program's Parquet has it.
type sensor struct {
	ID     int64     `parquet:"id"`
	Views  uint64    `parquet:"views"`
	Price  int64     `parquet:"price,decimal(2:10)"`
	Seen   int64     `parquet:"seen,timestamp(nanosecond)"`
	Day    int32     `parquet:"day,date"`
	Where  *string   `parquet:"where,optional"`
	Serial [16]byte  `parquet:"serial,uuid"`
	Level  float32   `parquet:"level"`
	On     bool      `parquet:"on"`
	At     time.Time `parquet:"at,timestamp(millisecond)"`
}

func foreignParquet(t *testing.T, rows ...sensor) []byte {
	t.Helper()
	var file bytes.Buffer
	w := parquet.NewGenericWriter[sensor](&file)
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return file.Bytes()
}

func TestParquetFilesFromElsewhereAreOneTable(t *testing.T) {
	t.Parallel()
	where := "Zürich"
	files := map[string][]byte{
		"a.parquet": foreignParquet(t, sensor{ID: 9, Views: 1<<64 - 1, Price: -5, Seen: 1000, Day: -1, Where: &where, On: true, At: time.UnixMilli(-1)}),
		"b.parquet": foreignParquet(t, sensor{ID: -9, Serial: [16]byte{0xAB}, Level: 0.5}, sensor{ID: 10}),
	}
	s, manifest := drop(t, files, list("a.parquet", "b.parquet"))
	result, err := partition.Write(t.Context(), s, manifest, partition.Options{Limits: partition.DefaultLimits()})
	require.NoError(t, err)
	require.Equal(t, []string{
		"-9|0|0.00|1970-01-01 00:00:00.000000|1970-01-01|NULL|ab000000-0000-0000-0000-000000000000|0.5|0|0001-01-01 00:00:00.000",
		"9|18446744073709551615|-0.05|1970-01-01 00:00:00.000001|1969-12-31|Zürich|00000000-0000-0000-0000-000000000000|0|1|1969-12-31 23:59:59.999",
		"10|0|0.00|1970-01-01 00:00:00.000000|1970-01-01|NULL|00000000-0000-0000-0000-000000000000|0|0|0001-01-01 00:00:00.000",
	}, curated(t, s, result.Marker.Files[0]))
	require.Equal(t, schema.Column{Name: "views", Kind: schema.Uint, Bits: 64}, result.Marker.Columns[1])
}

func TestWhatAManifestByHandGivesIsChecked(t *testing.T) {
	t.Parallel()
	file := foreignParquet(t, sensor{ID: 1}, sensor{ID: 2})
	key := `{"key": "` + sensorsDir + `a.parquet"`
	for name, c := range map[string]struct{ listed, want string }{
		"size":           {key + `, "size": 7}`, "a.parquet: the manifest says 7 bytes, it has"},
		"sha256":         {key + `, "sha256": "abc"}`, "the manifest says sha256 abc, it has"},
		"size and hash":  {key + `, "size": 7, "sha256": "abc"}`, "its content is not what the marker that names it recorded"},
		"rows":           {key + `, "rows": 3}`, "the manifest says 3 rows, it holds 2: correct the manifest, or leave the rows out"},
		"checksum":       {key + `, "rows": 2, "checksum": {"rows": 2, "sum_crc32": "1", "sum_crc32_squared": "1"}}`, "correct the manifest, or leave the checksum out"},
		"elsewhere":      {`{"key": "raw/other/dt=2026-11-22/run=20261122T020000Z/a.parquet"}`, "it is not below raw/sensors/dt=2026-11-22/run=20261122T020000Z/, where the files of this manifest belong: move it there"},
		"out of the way": {`{"key": "` + sensorsDir + `../../a.parquet"}`, "it is not below"},
		"no such file":   {list("b.parquet"), "no such object: put it back, or remove the manifest that lists it and land the run again"},
		"listed twice":   {list("a.parquet", "a.parquet"), "a.parquet: the manifest lists it twice: list it once"},
		"no files":       {"", "lists neither columns nor files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, manifest := drop(t, map[string][]byte{"a.parquet": file}, c.listed)
			_, err := partition.Write(t.Context(), s, manifest, partition.Options{Limits: partition.DefaultLimits()})
			require.ErrorContains(t, err, c.want)
			_, _, err = s.Get(t.Context(), lake.CuratedMarker("sensors", night))
			require.ErrorIs(t, err, lake.ErrNotFound)
		})
	}
}

func TestWhatHasNoPlaceInATableIsNamedWithARemedy(t *testing.T) {
	t.Parallel()
	avroOf := func(field string) []byte {
		var file bytes.Buffer
		w, err := ocf.NewEncoder(`{"type": "record", "name": "r", "fields": [{"name": "id", "type": "long"}, {"name": "odd", "type": `+field+`}]}`, &file)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return file.Bytes()
	}
	var differing bytes.Buffer
	w := parquet.NewGenericWriter[struct {
		ID int32 `parquet:"id"`
	}](&differing)
	require.NoError(t, w.Close())
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"list":     {map[string][]byte{"a": avroOf(`{"type": "array", "items": "int"}`)}, "avro field odd is of type array, which has no place in a table: flatten it"},
		"record":   {map[string][]byte{"a": avroOf(`{"type": "record", "name": "x", "fields": []}`)}, "avro field odd is of type record"},
		"union":    {map[string][]byte{"a": avroOf(`["null", "int", "string"]`)}, "avro field odd is a union of several types, which has no place in a table: write one type"},
		"null":     {map[string][]byte{"a": avroOf(`"null"`)}, "avro field odd is of type null"},
		"duration": {map[string][]byte{"a": avroOf(`{"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}`)}, "avro field odd is a duration"},
		"columns": {map[string][]byte{"a": foreignParquet(t, sensor{}), "b": differing.Bytes()},
			"b: its columns are id int(32), the table's id int(64), views uint(64), price decimal(10,2)"},
		"neither": {map[string][]byte{"a": []byte("id,name\n1,x\n")}, `it begins with "id,n": neither a Parquet file (PAR1) nor an Avro file (Obj\x01): write it as one of them`},
		"empty":   {map[string][]byte{"a": {}}, `it begins with "": neither`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names := []string{"a", "b"}
			s, manifest := drop(t, c.files, list(names[:len(c.files)]...))
			_, err := partition.Write(t.Context(), s, manifest, partition.Options{Limits: partition.DefaultLimits()})
			require.ErrorContains(t, err, "file "+sensorsDir)
			require.ErrorContains(t, err, c.want)
		})
	}
}
