package partition_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

const (
	night   lake.Run = "20261122T020000Z"
	evening lake.Run = "20261122T200000Z"
)

var options = partition.Options{Dataset: "classicmodels", PartitionBy: []string{"line"}, Limits: partition.DefaultLimits()}

// products is not in key order, and has NULL, empty and awkward partition values.
func products() laketest.Table {
	return laketest.Table{
		Name: "products",
		Columns: []schema.Column{
			{Name: "code", Kind: schema.String},
			{Name: "line", Kind: schema.String, Nullable: true},
			{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true},
			{Name: "made", Kind: schema.Date, Nullable: true},
			{Name: "views", Kind: schema.Uint, Bits: 64},
			{Name: "weight", Kind: schema.Double},
			{Name: "volume", Kind: schema.Decimal, Precision: 30, Scale: 4},
		},
		Key: []string{"code"},
		Rows: []schema.Row{
			laketest.Row("S9", "Classic Cars", 9581, 20000, 1, 0.5, "\x01"),
			laketest.Row("S10", "Motorräder: 50%/Ü", -5, nil, -1, -0.5, "\xFF"),
			laketest.Row("S1", "Classic Cars", nil, -1, 0, 0.0, "\x01\x00"),
			laketest.Row("S4", nil, 100, 3, 7, 1.0, "\x05"),
			laketest.Row("S3", "", 100, 3, 7, 1.0, "\x05"),
			laketest.Row("S2", nil, 100, 3, 7, 1.0, "\x05"),
			laketest.Row("S5", lake.NullPartition, 100, 3, 7, 1.0, "\x05"),
		},
	}
}

func setup(t *testing.T) lake.Store {
	t.Helper()
	return lake.NewDirectory(t.TempDir())
}

func curate(t *testing.T, s lake.Store, manifest string) partition.Result {
	t.Helper()
	result, err := partition.Write(context.Background(), s, manifest, options)
	require.NoError(t, err)
	return result
}

// curated reads a file of a marker as text, one string per row.
func curated(t *testing.T, s lake.Store, f lake.File) []string {
	t.Helper()
	body, err := lake.ReadFile(context.Background(), s, f)
	require.NoError(t, err)
	r, err := parquetfile.Open(bytes.NewReader(body), f.Size)
	require.NoError(t, err)
	var rows []string
	var row schema.Row
	for {
		if row, err = r.Next(row); errors.Is(err, io.EOF) {
			return rows
		}
		require.NoError(t, err)
		var texts []string
		for i, v := range row {
			if v.Null {
				texts = append(texts, "NULL")
			} else {
				texts = append(texts, schema.Text(r.Columns()[i], v))
			}
		}
		rows = append(rows, strings.Join(texts, "|"))
	}
}

func TestRowsArePartitionedAsHiveDoesAndSortedByKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	result := curate(t, s, laketest.Land(t, s, products(), night))
	require.True(t, result.Published)
	got := map[string][]string{}
	values := map[string]*string{}
	for _, f := range result.Marker.Files {
		got[strings.TrimPrefix(f.Key, "curated/products/dt=2026-11-22/")] = curated(t, s, f)
		values[f.Key] = f.Partition[0].Value
	}
	require.Equal(t, map[string][]string{
		"line=Classic Cars/part-00000.parquet": {
			"S1|Classic Cars|NULL|1969-12-31|0|0|0.0256", "S9|Classic Cars|95.81|2024-10-04|1|0.5|0.0001",
		},
		"line=Motorräder%3A 50%25%2FÜ/part-00000.parquet": {
			"S10|Motorräder: 50%/Ü|-0.05|NULL|18446744073709551615|-0.5|-0.0001",
		},
		// NULL, the empty string and Hive's own word for them share a folder, never a file.
		"line=__HIVE_DEFAULT_PARTITION__/part-00000.parquet": {
			"S2|NULL|1.00|1970-01-04|7|1|0.0005", "S4|NULL|1.00|1970-01-04|7|1|0.0005",
		},
		"line=__HIVE_DEFAULT_PARTITION__/part-00001.parquet": {"S3||1.00|1970-01-04|7|1|0.0005"},
		"line=__HIVE_DEFAULT_PARTITION__/part-00002.parquet": {"S5|__HIVE_DEFAULT_PARTITION__|1.00|1970-01-04|7|1|0.0005"},
	}, got)
	require.Nil(t, values["curated/products/dt=2026-11-22/line=__HIVE_DEFAULT_PARTITION__/part-00000.parquet"])
	require.Empty(t, *values["curated/products/dt=2026-11-22/line=__HIVE_DEFAULT_PARTITION__/part-00001.parquet"])

	table := products()
	require.Equal(t, laketest.Sum(table.Columns, table.Rows), result.Marker.Checksum)
	require.EqualValues(t, 7, result.Marker.Rows)
	marker, _, err := lake.ReadMarker[lake.CuratedSuccess](context.Background(), s, lake.CuratedMarker("products", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.Equal(t, result.Marker, marker)
	lineage, err := lake.Trace(context.Background(), s, lake.CuratedMarker("products", night))
	require.NoError(t, err)
	require.Equal(t, lake.RawMarker("products", night), lineage.Parents[0].Key)
	require.True(t, lineage.Parents[0].Intact)
}

func TestATableWithoutRowsIsPublishedToo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	empty := products()
	empty.Rows = nil
	result := curate(t, s, laketest.Land(t, s, empty, night))
	require.True(t, result.Published)
	require.Empty(t, result.Marker.Files)
	require.Equal(t, empty.Columns, result.Marker.Columns)
}

func TestFilesStayWithinTheLimitsAndHoldEveryRow(t *testing.T) {
	t.Parallel()
	s := setup(t)
	table := products()
	for i := range 3000 {
		table.Rows = append(table.Rows, laketest.Row("T"+string(rune('a'+i%26))+strings.Repeat("x", i%50), []string{"a", "b", "c"}[i%3], i, i, i, 0.0, "\x00"))
	}
	small := options
	small.Limits = partition.Limits{File: 40 << 10, Buffer: 60 << 10}
	manifest := laketest.Land(t, s, table, night)
	result, err := partition.Write(context.Background(), s, manifest, small)
	require.NoError(t, err)
	require.Greater(t, len(result.Marker.Files), 8)
	require.Equal(t, laketest.Sum(table.Columns, table.Rows), result.Marker.Checksum)
	for _, f := range result.Marker.Files {
		rows := curated(t, s, f)
		codes := make([]string, len(rows))
		for i, row := range rows {
			codes[i], _, _ = strings.Cut(row, "|")
		}
		require.True(t, slices.IsSorted(codes), f.Key)
	}

	other := setup(t)
	laketest.Land(t, other, table, night)
	_, err = partition.Write(context.Background(), other, manifest, small)
	require.NoError(t, err)
	require.Equal(t, laketest.Objects(t, s), laketest.Objects(t, other), "the same run gives the same bytes")
}

func TestFilesAreSortedByEveryKindOfKey(t *testing.T) {
	t.Parallel()
	table := laketest.Table{
		Name: "prices",
		Columns: []schema.Column{
			{Name: "shop", Kind: schema.Int, Bits: 32, Nullable: true},
			{Name: "amount", Kind: schema.Decimal, Precision: 30},
			{Name: "factor", Kind: schema.Double},
			{Name: "views", Kind: schema.Uint, Bits: 64},
			{Name: "code", Kind: schema.Bytes},
		},
		Key: []string{"shop", "amount", "factor", "code", "views"},
	}
	for _, shop := range []any{3, -7, nil, 0} {
		for _, amount := range []string{"\x01", "\xFF", "\x00\xFF", "\xFF\x00\x00"} {
			for _, factor := range []float64{2.5, -2.5, -1e300, 0} {
				for _, views := range []int{-1, 5} {
					for _, code := range []string{"a\x00b", "a", "", "a\x00", "a\xFF"} {
						table.Rows = append(table.Rows, laketest.Row(shop, amount, factor, views, code))
					}
				}
			}
		}
	}
	s := setup(t)
	o := options
	o.PartitionBy = nil
	result, err := partition.Write(context.Background(), s, laketest.Land(t, s, table, night), o)
	require.NoError(t, err)
	got := curated(t, s, result.Marker.Files[0])
	var want []string
	for _, shop := range []string{"NULL", "-7", "0", "3"} {
		for _, amount := range []string{"-65536", "-1", "1", "255"} {
			for _, factor := range []string{"-1e300", "-2.5", "0", "2.5"} {
				for _, code := range []string{"", "a", "a\x00", "a\x00b", "a\xFF"} {
					for _, views := range []string{"5", "18446744073709551615"} {
						want = append(want, strings.Join([]string{
							shop, amount, factor, views, schema.Text(table.Columns[4], schema.Value{Bytes: []byte(code)}),
						}, "|"))
					}
				}
			}
		}
	}
	require.Equal(t, want, got)
}

func TestASecondDeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	manifest := laketest.Land(t, s, products(), night)
	first := curate(t, s, manifest)
	before := laketest.Objects(t, s)
	writes := &recorder{Store: s}
	second, err := partition.Write(context.Background(), writes, manifest, options)
	require.NoError(t, err)
	require.False(t, second.Published)
	require.Equal(t, first.Marker, second.Marker)
	require.Empty(t, writes.put)
	require.Equal(t, before, laketest.Objects(t, s))
}

func TestARetryAfterACrashWritesTheSameObjects(t *testing.T) {
	t.Parallel()
	want := setup(t)
	manifest := laketest.Land(t, want, products(), night)
	curate(t, want, manifest)
	for crash := range 6 { // five files and the marker
		s := setup(t)
		laketest.Land(t, s, products(), night)
		_, err := partition.Write(context.Background(), &recorder{Store: s, crashAt: crash + 1}, manifest, options)
		require.ErrorIs(t, err, errCrash)
		curate(t, s, manifest)
		require.Equal(t, laketest.Objects(t, want), laketest.Objects(t, s))
	}
}

func TestANewerRunReplacesAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := setup(t)
	curate(t, s, laketest.Land(t, s, products(), night))
	changed := products()
	changed.Rows = changed.Rows[:2]
	changed.Rows[0][2].Int = 1
	result := curate(t, s, laketest.Land(t, s, changed, evening))
	require.True(t, result.Published)
	require.EqualValues(t, 2, result.Marker.Rows)
	keys, err := s.List(context.Background(), "curated/")
	require.NoError(t, err)
	require.Len(t, keys, 3, "two files and the marker: %v", keys)
}

func TestAnOlderRunThatArrivesLateChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	older := laketest.Land(t, s, products(), night)
	curate(t, s, laketest.Land(t, s, products(), evening))
	before := laketest.Objects(t, s)
	writes := &recorder{Store: s}
	_, err := partition.Write(context.Background(), writes, older, options)
	require.ErrorIs(t, err, lake.ErrSuperseded)
	require.Empty(t, writes.put, "not even for a moment")
	require.Equal(t, before, laketest.Objects(t, s))
}

func TestAnOlderRunOvertakenWhileWritingRestoresTheNewerFiles(t *testing.T) {
	t.Parallel()
	s := setup(t)
	older := laketest.Land(t, s, products(), night)
	changed := products()
	changed.Rows[0][2].Int = 1
	newer := laketest.Land(t, s, changed, evening)
	var want map[string]string
	overtaken := &recorder{Store: s, beforeFirst: func() {
		curate(t, s, newer)
		want = laketest.Objects(t, s)
	}}
	_, err := partition.Write(context.Background(), overtaken, older, options)
	require.ErrorIs(t, err, lake.ErrSuperseded)
	require.Equal(t, want, laketest.Objects(t, s))
}

func TestFilesThatAnotherRunRemovedAreWrittenAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	manifest := laketest.Land(t, s, products(), night)
	result := curate(t, s, manifest)
	before := laketest.Objects(t, s)
	require.NoError(t, s.Delete(context.Background(), result.Marker.Files[1].Key))
	require.NoError(t, s.Put(context.Background(), lake.CuratedDir("products", night)+"left-behind.parquet", strings.NewReader("x")))
	curate(t, s, manifest)
	require.Equal(t, before, laketest.Objects(t, s))
}

func TestADamagedFileIsWrittenAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	manifest := laketest.Land(t, s, products(), night)
	result := curate(t, s, manifest)
	before := laketest.Objects(t, s)
	key := result.Marker.Files[2].Key
	damaged := []byte(before[key])
	damaged[len(damaged)/2] ^= 1
	require.NoError(t, s.Put(t.Context(), key, bytes.NewReader(damaged)))
	again := curate(t, s, manifest)
	require.True(t, again.Published)
	require.Equal(t, before, laketest.Objects(t, s))
	require.False(t, curate(t, s, manifest).Published, "what is intact is left alone")
}

// TestDeliveriesAtTheSameTimePublishOneRun lets several copies of an event, of this run and of a newer one, race.
func TestDeliveriesAtTheSameTimePublishOneRun(t *testing.T) {
	t.Parallel()
	s := setup(t)
	older := laketest.Land(t, s, products(), night)
	changed := products()
	changed.Rows[0][2].Int = 1
	newer := laketest.Land(t, s, changed, evening)
	var deliveries errgroup.Group
	for i := range 8 {
		key := []string{older, newer}[i%2]
		deliveries.Go(func() error {
			_, err := partition.Write(context.Background(), s, key, options)
			if key == older && errors.Is(err, lake.ErrSuperseded) {
				return nil
			}
			return err
		})
	}
	failed := deliveries.Wait()
	if failed != nil { // a directory has no conditional replacement between processes or goroutines: the event is repeated
		t.Log(failed)
		_, failed = partition.Write(context.Background(), s, newer, options)
	}
	require.NoError(t, failed)
	want := setup(t)
	laketest.Land(t, want, products(), night)
	laketest.Land(t, want, changed, evening)
	curate(t, want, newer)
	require.Equal(t, laketest.Objects(t, want), laketest.Objects(t, s))
}

func TestATamperedSourceIsNeverPublished(t *testing.T) {
	t.Parallel()
	pristine := setup(t)
	manifest := laketest.Land(t, pristine, products(), night)
	objects := laketest.Objects(t, pristine)
	raw := lake.RawPart("products", night, 1)
	for at := 0; at < len(objects[raw]); at += 9 {
		s := setup(t)
		for key, body := range objects {
			if key == raw {
				damaged := []byte(body)
				damaged[at] ^= 0x10
				body = string(damaged)
			}
			require.NoError(t, s.Put(context.Background(), key, strings.NewReader(body)))
		}
		_, err := partition.Write(context.Background(), s, manifest, options)
		require.ErrorContains(t, err, raw)
		require.ErrorContains(t, err, "table products")
		_, _, err = s.Get(context.Background(), lake.CuratedMarker("products", night))
		require.ErrorIs(t, err, lake.ErrNotFound)
	}
}

// TestAValueChangedAtAnyStageIsNeverPublished changes one value at each stage between the manifest and the published file.
func TestAValueChangedAtAnyStageIsNeverPublished(t *testing.T) {
	t.Parallel()
	change := func(b *rowbatch.Batch) {
		if b.Len() > 0 {
			b.Columns[4].Ints[0]++
		}
	}
	streamed := options
	streamed.PartitionBy = nil
	inOrder := products()
	slices.SortFunc(inOrder.Rows, func(a, b schema.Row) int { return bytes.Compare(a[0].Bytes, b[0].Bytes) })
	spilled := options
	spilled.Limits.Buffer = 400
	for name, c := range map[string]struct {
		table  laketest.Table
		o      partition.Options
		tamper string // the store changes an object whose key ends so
		want   []string
	}{
		"while it is sorted in memory": {products(), options.Disturb(change, nil), "", []string{"sorting changed the rows"}},
		"while it is sorted on disk":   {products(), spilled.Disturb(change, nil), "", []string{"sorting changed the rows"}},
		"while it is streamed":         {inOrder, streamed.Disturb(change, nil), "", []string{"sorting changed the rows"}},
		"while it is encoded": {products(), options.Disturb(nil, change), "", []string{
			"file curated/products/dt=2026-11-22/line=Classic Cars/part-00000.parquet: the Parquet writer was given 2 rows", "reads back 2 rows",
		}},
		"while it is streamed and encoded": {inOrder, streamed.Disturb(nil, change), "", []string{
			"file curated/products/dt=2026-11-22/part-00000.parquet: the Parquet writer was given",
		}},
		"in the store": {products(), options, "Classic Cars/part-00000.parquet", []string{
			"file curated/products/dt=2026-11-22/line=Classic Cars/part-00000.parquet: read back: object", "its content is not what",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			manifest := laketest.Land(t, s, c.table, night)
			_, err := partition.Write(context.Background(), &recorder{Store: s, tamper: c.tamper}, manifest, c.o)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			_, _, err = s.Get(context.Background(), lake.CuratedMarker("products", night))
			require.ErrorIs(t, err, lake.ErrNotFound)
			_, err = partition.Write(context.Background(), s, manifest, options)
			require.NoError(t, err, "and a run without the fault publishes")
		})
	}
}

func TestAValueThatDiffersFromTheDatabaseIsNeverPublished(t *testing.T) {
	t.Parallel()
	s := setup(t)
	key := laketest.Land(t, s, products(), night)
	manifest, _, err := lake.ReadMarker[lake.RawManifest](context.Background(), s, key, lake.RawFormat)
	require.NoError(t, err)
	other := products()
	other.Rows[0][2].Int++
	sum := laketest.Sum(other.Columns, other.Rows)
	listed := func(files []lake.File) (all checksum.Sum) {
		for _, f := range files {
			all = all.Plus(f.Checksum)
		}
		return all
	}
	for name, c := range map[string]func(*lake.RawManifest){
		"the database counted otherwise": func(m *lake.RawManifest) { m.Source = sum },
		"the manifest's total differs":   func(m *lake.RawManifest) { m.Source, m.Checksum = sum, sum },
		"a file's sum differs": func(m *lake.RawManifest) {
			m.Files[0].Checksum = sum
			m.Source = listed(m.Files)
			m.Checksum = m.Source
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest
			m.Files = slices.Clone(manifest.Files)
			c(&m)
			require.NoError(t, s.Delete(context.Background(), key))
			_, err := lake.Publish(context.Background(), s, key, m)
			require.NoError(t, err)
			_, err = partition.Write(context.Background(), s, key, options)
			require.ErrorContains(t, err, sum.String())
			require.ErrorContains(t, err, "extract the run again")
		})
	}
}

func TestPartitionColumnsAreChecked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	manifest := laketest.Land(t, s, products(), night)
	wrong := options
	wrong.PartitionBy = []string{"productLine"}
	_, err := partition.Write(context.Background(), s, manifest, wrong)
	require.ErrorContains(t, err, "products.productLine")
	require.ErrorContains(t, err, "shared/dataset/classicmodels.yaml")
}

var errCrash = errors.New("crash")

// recorder is a store that notes writes, and fails or tampers at one of them.
type recorder struct {
	lake.Store
	lock        sync.Mutex
	put         []string
	crashAt     int // n-th write
	tamper      string
	beforeFirst func()
}

func (r *recorder) note(key string) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.put = append(r.put, key)
	if r.beforeFirst != nil && len(r.put) == 1 {
		r.beforeFirst()
	}
	if len(r.put) == r.crashAt {
		return errCrash
	}
	return nil
}

func (r *recorder) Put(ctx context.Context, key string, body io.Reader) error {
	if err := r.note(key); err != nil {
		return err
	}
	if r.tamper != "" && strings.HasSuffix(key, r.tamper) {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		body = bytes.NewReader(b)
	}
	return r.Store.Put(ctx, key, body)
}

func (r *recorder) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	if err := r.note(key); err != nil {
		return err
	}
	return r.Store.PutIf(ctx, key, body, etag)
}
