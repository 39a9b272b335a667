package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/schema"
)

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// flipBit damages a file near its end: in Avro among the rows, in Parquet in the footer.
func flipBit(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)-20] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

// landed is a directory with one table of the shop.
func landed(t *testing.T, table string, run lake.Run) string {
	t.Helper()
	dir := t.TempDir()
	laketest.Land(t, lake.NewDirectory(dir), laketest.Shop()[table], run)
	return dir
}

func partitionCommand(in, out, table, run string, by ...string) []string {
	args := []string{"partition", "--in", in, "--out", out, "--table", table, "--run", run}
	for _, column := range by {
		args = append(args, "--partition-by", column)
	}
	return args
}

func TestPartitioningIsTheSameIntoOneDirectoryOrTwo(t *testing.T) {
	t.Parallel()
	one := landed(t, "ratings", night)
	in, out := landed(t, "ratings", night), filepath.Join(t.TempDir(), "new")
	before := laketest.Objects(t, lake.NewDirectory(in))
	text, err := millrace(t, partitionCommand(in, out, "ratings", night, "productRating", "customerNumber")...)
	require.NoError(t, err)
	require.Contains(t, text, "ratings, run 20261122T020000Z: 8 rows in ")
	require.Contains(t, text, "partitioned  by productRating, customerNumber")
	require.Equal(t, before, laketest.Objects(t, lake.NewDirectory(in)), "--in is only read")

	_, err = millrace(t, partitionCommand(one, one, "ratings", night, "productRating", "customerNumber")...)
	require.NoError(t, err)
	apart, together := laketest.Objects(t, lake.NewDirectory(out)), laketest.Objects(t, lake.NewDirectory(one))
	require.Contains(t, apart, "curated/ratings/dt=2026-11-22/productRating=1/customerNumber=999/part-00000.parquet")
	for key, content := range apart {
		require.Equal(t, together[key], content, key)
	}
	require.Len(t, together, len(apart)+len(before))

	again, err := millrace(t, append(partitionCommand(in, out, "ratings", night, "productRating", "customerNumber"), "--json")...)
	require.NoError(t, err)
	require.False(t, decode[curation](t, again).Published)
}

func TestWhatCannotBePartitionedIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	in := landed(t, "ratings", night)
	for _, c := range []struct {
		run  string
		by   []string
		want string
	}{
		{night, []string{"month(productRating)"}, "month(productRating): a column of kind int has no month: name a date, datetime or timestamp"},
		{night, []string{"hour(productRating)"}, `there is no transform "hour": write year(column), month(column)`},
		{night, []string{"customer"}, "there is no column customer (there are: customerNumber, productCode, productRating): name another column"},
		{night, []string{"productCode", "productCode"}, `"productCode" and "productCode" both make folders productCode=…: name one of them`},
		{"20261121T020000Z", nil, "has no run 20261121T020000Z of table ratings (extracted runs: 20261122T020000Z)"},
		{"yesterday", nil, `run "yesterday": want a scheduled time`},
	} {
		out := filepath.Join(t.TempDir(), "new")
		_, err := millrace(t, partitionCommand(in, out, "ratings", c.run, c.by...)...)
		require.ErrorContains(t, err, c.want)
		require.NoDirExists(t, out)
	}
	_, err := millrace(t, partitionCommand(in, in, "customers", night)...)
	require.ErrorContains(t, err, "no run of it at all")
}

func TestTransformsMakeFolders(t *testing.T) {
	t.Parallel()
	dir := landed(t, "ratings", night)
	text, err := millrace(t, partitionCommand(dir, dir, "ratings", night, "bucket(2, customerNumber)", "productRating")...)
	require.NoError(t, err)
	require.Contains(t, text, "partitioned  by bucket(2, customerNumber), productRating")
	require.Contains(t, laketest.Objects(t, lake.NewDirectory(dir)), "curated/ratings/dt=2026-11-22/customerNumber_bucket=1/productRating=4/part-00000.parquet")
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), lake.NewDirectory(dir), lake.CuratedMarker("ratings", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.Equal(t, []string{"bucket(2, customerNumber)", "productRating"}, m.PartitionBy)
	for _, f := range m.Files {
		require.Equal(t, "customerNumber_bucket", f.Partition[0].Column)
	}
}

func TestAnOlderRunNeverReplacesANewerOne(t *testing.T) {
	t.Parallel()
	dir := landed(t, "ratings", night)
	laketest.Land(t, lake.NewDirectory(dir), laketest.Shop()["ratings"], "20261122T030000Z")
	_, err := millrace(t, partitionCommand(dir, dir, "ratings", "20261122T030000Z")...)
	require.NoError(t, err)
	_, err = millrace(t, partitionCommand(dir, dir, "ratings", night)...)
	require.ErrorIs(t, err, lake.ErrSuperseded)
	_, err = millrace(t, "verify", "--dsn", "root@tcp(127.0.0.1:1)/shop", "--in", dir, "--table", "ratings", "--run", night)
	require.ErrorContains(t, err, "verify it with --run 20261122T030000Z")
}

func TestModesOfExtractionThatThereAreNotAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"--mode incremental", "name the column that says when a row was last changed or added with --watermark"},
		{"--mode some", `--mode "some": want full or incremental`},
		{"--zero-dates 1970", `--zero-dates "1970": want fail or null`},
	} {
		out := filepath.Join(t.TempDir(), "new")
		_, err := millrace(t, append([]string{"extract", "--dsn", "root@tcp(127.0.0.1:1)/shop", "--table", "t", "--run", night, "--out", out}, strings.Fields(c.args)...)...)
		require.ErrorContains(t, err, c.want)
		require.NoDirExists(t, out)
	}
}

func TestAvroAndParquetOfTheSameRowsLookTheSame(t *testing.T) {
	t.Parallel()
	dir := landed(t, "customers", night)
	_, err := millrace(t, partitionCommand(dir, dir, "customers", night)...)
	require.NoError(t, err)
	store := lake.NewDirectory(dir)
	curated, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), store, lake.CuratedMarker("customers", night), lake.CuratedFormat)
	require.NoError(t, err)
	parquet := filepath.Join(dir, filepath.FromSlash(curated.Files[0].Key))
	out, err := millrace(t, "inspect", parquet, "--json")
	require.NoError(t, err)
	f := decode[inspectedFile](t, out)
	require.Equal(t, "parquet", f.Format)
	require.Equal(t, curated.Files[0].SHA256, f.SHA256)
	require.Equal(t, curated.Files[0].Size, f.Size)
	require.EqualValues(t, 4, f.Rows)
	require.Equal(t, curated.Checksum, f.Checksum)
	require.Contains(t, f.Metadata, "millrace.columns")
	text := func(s string) *string { return &s }
	require.Equal(t, []columnStatistics{
		{Name: "customerNumber", Type: "int32", Min: text("103"), Max: text("121")},
		{Name: "customerName", Type: "string", Min: text("Atelier graphique"), Max: text("Signal Gift Stores")},
		{Name: "city", Type: "string", Min: text("Las Vegas"), Max: text("São Paulo")},
		{Name: "state", Type: "string", Nullable: true, Nulls: 2, Min: text(""), Max: text("NV")},
		{Name: "postalCode", Type: "string", Nullable: true, Nulls: 1, Min: text("4110"), Max: text("83030")},
		{Name: "country", Type: "string", Min: text("Brasil"), Max: text("USA")},
		{Name: "creditLimit", Type: "decimal(10,2)", Nullable: true, Nulls: 1, Min: text("-0.01"), Max: text("71800.50")},
	}, f.Columns)

	raw, _, err := lake.ReadMarker[lake.RawManifest](t.Context(), store, lake.RawMarker("customers", night), lake.RawFormat)
	require.NoError(t, err)
	out, err = millrace(t, "inspect", filepath.Join(dir, filepath.FromSlash(raw.Files[0].Key)), "--json")
	require.NoError(t, err)
	a := decode[inspectedFile](t, out)
	require.Equal(t, "avro", a.Format)
	require.Equal(t, raw.Files[0].Checksum, a.Checksum)
	require.Equal(t, text("21000.00"), a.Columns[6].Min, "of its three rows")
	require.Contains(t, a.Metadata, "avro.schema")

	out, err = millrace(t, "inspect", parquet)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^creditLimit +decimal\(10,2\) null +1 +-0\.01 +71800\.50$`, out)
}

func TestStatisticsKeepValuesWhoseMemoryIsUsedAgain(t *testing.T) {
	t.Parallel()
	s := newColumnStatistics(schema.Column{Name: "s", Kind: schema.String})
	memory := []byte("m")
	for _, b := range []byte("mza") {
		memory[0] = b
		s.add(schema.Value{Bytes: memory})
	}
	memory[0] = '?'
	s.finish()
	require.Equal(t, []string{"a", "z"}, []string{*s.Min, *s.Max})
}

func TestAFileOfAnotherKindOrADamagedOneIsNamed(t *testing.T) {
	t.Parallel()
	dir := landed(t, "ratings", night)
	path := filepath.Join(dir, filepath.FromSlash(lake.RawMarker("ratings", night)))
	_, err := millrace(t, "inspect", path)
	require.ErrorContains(t, err, "neither a Parquet file (PAR1) nor an Avro file")
	part := filepath.Join(dir, filepath.FromSlash(lake.RawPart("ratings", night, 0)))
	flipBit(t, part)
	_, err = millrace(t, "inspect", part)
	require.ErrorContains(t, err, part)
	require.ErrorContains(t, err, "damaged")
	_, err = millrace(t, "inspect", filepath.Join(dir, "nothing"))
	require.ErrorContains(t, err, "no such file")
	_, err = millrace(t, "inspect", t.TempDir())
	require.ErrorContains(t, err, "publishes nothing")
}

func TestValuesCannotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	require.Equal(t, `red \x1b[31m, São "Paulo" 大阪\n`, readable("red \x1b[31m, São \"Paulo\" 大阪\n"))
	require.Equal(t, strings.Repeat("é", readableRunes)+"…", readable(strings.Repeat("é", 1000)))
}

func TestADirectoryShowsLineageAndWhatIsNoLongerIntact(t *testing.T) {
	t.Parallel()
	in, out := landed(t, "ratings", night), t.TempDir()
	_, err := millrace(t, partitionCommand(in, in, "ratings", night)...)
	require.NoError(t, err)
	_, err = millrace(t, partitionCommand(in, out, "ratings", night)...)
	require.NoError(t, err)

	text, err := millrace(t, "inspect", in)
	require.NoError(t, err)
	for _, part := range []string{
		"curated/ratings/dt=2026-11-22/_SUCCESS\n  millrace/curated/1, dataset classicmodels, run 20261122T020000Z, 8 rows\n  intact   curated/ratings/dt=2026-11-22/part-00000.parquet",
		"  ← raw/ratings/dt=2026-11-22/run=20261122T020000Z/_MANIFEST.json  sha256 ", "…  marker unchanged  8 rows  from MySQL laketest\n",
		"  intact   raw/ratings/dt=2026-11-22/run=20261122T020000Z/part-00002.avro",
	} {
		require.Contains(t, text, part)
	}
	text, err = millrace(t, "inspect", out)
	require.NoError(t, err, "raw data elsewhere is no damage")
	require.Contains(t, text, "not here: expired, or in another directory")

	flipBit(t, filepath.Join(in, "curated/ratings/dt=2026-11-22/part-00000.parquet"))
	require.NoError(t, os.Remove(filepath.Join(in, filepath.FromSlash(lake.RawPart("ratings", night, 1)))))
	text, err = millrace(t, "inspect", in, "--json")
	require.ErrorContains(t, err, "part-00000.parquet is changed")
	require.ErrorContains(t, err, "part-00001.avro is missing")
	d := decode[inspectedDirectory](t, text)
	require.Equal(t, []fileState{fileChanged}, []fileState{d.Markers[0].Files[0].State})
	require.Equal(t, []fileState{fileIntact, fileMissing, fileIntact}, []fileState{d.Markers[1].Files[0].State, d.Markers[1].Files[1].State, d.Markers[1].Files[2].State})

	path := filepath.Join(in, filepath.FromSlash(lake.RawMarker("ratings", night)))
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	text, err = millrace(t, "inspect", in)
	require.ErrorContains(t, err, "_MANIFEST.json cannot be read")
	require.Contains(t, text, "cannot be read: ")
}
