package partition_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// visits has keys of several kinds and rows of equal keys, which number tells apart.
func visits(rows []schema.Row) laketest.Table {
	return laketest.Table{
		Name: "visits",
		Columns: []schema.Column{
			{Name: "shop", Kind: schema.String, Nullable: true},
			{Name: "user", Kind: schema.Int, Bits: 64, Nullable: true},
			{Name: "page", Kind: schema.String},
			{Name: "share", Kind: schema.Double},
			{Name: "number", Kind: schema.Int, Bits: 32},
		},
		Key:  []string{"user", "page"},
		Rows: rows,
	}
}

func drawVisits(t *rapid.T) []schema.Row {
	n := rapid.IntRange(1, 1500).Draw(t, "rows")
	users := rapid.IntRange(1, 100).Draw(t, "users")
	seed := rapid.Uint64().Draw(t, "seed")
	sorted := rapid.Bool().Draw(t, "sorted")
	next := func(n int) int { // cheaper than a draw for each value
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed >> 33 % uint64(n))
	}
	var rows []schema.Row
	for range n {
		row := laketest.Row(string(rune('a'+next(5))), next(users), strings.Repeat("p", next(9))+string(rune('A'+next(3))), float64(next(3)), 0)
		row[0].Null, row[1].Null = next(6) == 0, next(20) == 0
		rows = append(rows, row)
	}
	if sorted {
		slices.SortStableFunc(rows, byKey)
	}
	for i := range rows {
		rows[i][4].Int = int64(i)
	}
	return rows
}

func byKey(a, b schema.Row) int {
	order := func(row schema.Row) []byte {
		table := visits(nil)
		return schema.AppendOrdered(schema.AppendOrdered(nil, table.Columns[1], row[1]), table.Columns[2], row[2])
	}
	return bytes.Compare(order(a), order(b))
}

// TestRowsAreSortedTheSameWhateverTheMemory compares with a stable sort of all rows; buffers of a few hundred bytes make
// hundreds of runs, which are merged in two levels.
func TestRowsAreSortedTheSameWhateverTheMemory(t *testing.T) {
	t.Parallel()
	scratch := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		rows := drawVisits(r)
		dir, err := os.MkdirTemp(scratch, "")
		require.NoError(r, err)
		defer os.RemoveAll(dir)
		var first map[string]string
		for i, o := range []partition.Options{
			{PartitionBy: []string{"shop"}, Limits: partition.DefaultLimits()},
			{PartitionBy: []string{"shop"}, Limits: partition.Limits{File: 128 << 20, Buffer: rapid.IntRange(300, 30_000).Draw(r, "buffer")}},
		} {
			s := lake.NewDirectory(filepath.Join(dir, fmt.Sprint(i)))
			manifest := laketest.LandFiles(t, s, visits(rows), night, 400)
			result, err := partition.Write(context.Background(), s, manifest, o)
			require.NoError(r, err)
			objects := laketest.Objects(t, s)
			if first == nil {
				first = objects
			}
			require.Equal(r, first, objects, "the same bytes with another buffer")
			for _, f := range result.Marker.Files {
				want := slices.DeleteFunc(slices.Clone(rows), func(row schema.Row) bool {
					return row[0].Null != (f.Partition[0].Value == nil) || !row[0].Null && string(row[0].Bytes) != *f.Partition[0].Value
				})
				slices.SortStableFunc(want, byKey)
				for i, got := range curated(t, s, f) {
					require.Equal(r, fmt.Sprint(want[i][4].Int), got[strings.LastIndex(got, "|")+1:])
				}
			}
		}
	})
}

func TestATableOutOfOrderIsSortedThoughItWasStreamed(t *testing.T) {
	t.Parallel()
	var rows []schema.Row
	for i := range 9000 { // several batches in order before the one row that is not
		rows = append(rows, laketest.Row("a", i, "p", 0.0, i))
	}
	rows = append(rows, laketest.Row("a", -1, "p", 0.0, 9000))
	s := setup(t)
	o := partition.Options{Limits: partition.Limits{File: 20 << 10, Buffer: 100 << 10}}
	result, err := partition.Write(t.Context(), s, laketest.LandFiles(t, s, visits(rows), night, 3000), o)
	require.NoError(t, err)
	require.Greater(t, len(result.Marker.Files), 2)
	require.Equal(t, "a|-1|p|0|9000", curated(t, s, result.Marker.Files[0])[0])
	keys, err := s.List(t.Context(), "curated/")
	require.NoError(t, err)
	require.Len(t, keys, len(result.Marker.Files)+1, "nothing of the first try is left")
}

func TestRowsOnTheDiskComeBackOrAreKnownToBeDamaged(t *testing.T) {
	t.Parallel()
	table := products()
	rows := rowbatch.New(table.Columns)
	for _, row := range table.Rows {
		rows.Append(row)
	}
	text := func(b *rowbatch.Batch) (all string) {
		for i := range b.Len() {
			all += string(checksum.AppendText(nil, table.Columns, b.Row(i, nil))) + "\n"
		}
		return all
	}
	back, size, err := partition.Spill(table.Columns, rows, 0, 0)
	require.NoError(t, err)
	require.Equal(t, text(rows), text(back))
	damaged := 0
	for at := range size {
		if back, _, err = partition.Spill(table.Columns, rows, at, 1<<(at%8)); err == nil {
			require.Equal(t, text(rows), text(back), "byte %d", at) // snappy has several ways to say the same
			continue
		}
		require.ErrorContains(t, err, "sorted rows on the local disk are not as they were written", "byte %d", at)
		damaged++
	}
	require.Greater(t, damaged, int(size)*9/10)
}

func TestFilesDeclareTheOrderOfTheirRows(t *testing.T) {
	t.Parallel()
	s := setup(t)
	result := curate(t, s, laketest.Land(t, s, products(), night))
	body, err := lake.ReadFile(t.Context(), s, result.Marker.Files[0])
	require.NoError(t, err)
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	sorting := file.RowGroups()[0].SortingColumns()
	require.Len(t, sorting, 1)
	require.Equal(t, []string{"code"}, sorting[0].Path())
	require.True(t, sorting[0].NullsFirst())
	require.False(t, sorting[0].Descending())
}

const (
	partitions = 10_000
	// What a partitioner may take: the limit for a function of 128 MiB, and of any table.
	memoryCeiling = 128 << 20
)

// TestTenThousandPartitionsStayWithinTheMemory curates in a process of its own, whose peak is its own.
func TestTenThousandPartitionsStayWithinTheMemory(t *testing.T) {
	if dir := os.Getenv("MILLRACE_PARTITIONS"); dir != "" {
		curatePartitions(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	if memory, err := os.MkdirTemp("/dev/shm", "millrace-"); err == nil { // files of a few rows: a disk would only cost time
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(memory)) })
		dir = memory
	}
	s := lake.NewDirectory(dir)
	var rows []schema.Row
	for i := range 20 * partitions {
		rows = append(rows, laketest.Row(fmt.Sprintf("shop %05d", i*7919%partitions), i, strings.Repeat("p", 200), 0.5, i))
	}
	laketest.LandFiles(t, s, visits(rows), night, len(rows))
	rows = nil

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), "MILLRACE_PARTITIONS="+dir, "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), s, lake.CuratedMarker("visits", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.Len(t, m.Files, partitions)
	require.EqualValues(t, 20*partitions, m.Rows)
	require.True(t, slices.IsSortedFunc(m.Files, func(a, b lake.File) int { return cmp.Compare(*a.Partition[0].Value, *b.Partition[0].Value) }))
	peak, err := os.ReadFile(filepath.Join(dir, "status"))
	require.NoError(t, err)
	_, line, _ := strings.Cut(string(peak), "VmHWM:")
	var kibibytes int64
	_, err = fmt.Sscan(line, &kibibytes)
	require.NoError(t, err)
	t.Logf("peak: %d MiB", kibibytes>>10)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return // the race detector has memory of its own
	}
	require.Less(t, kibibytes<<10, int64(memoryCeiling))
}

func curatePartitions(t *testing.T, dir string) {
	_, err := partition.Write(t.Context(), lake.NewDirectory(dir), lake.RawMarker("visits", night), partition.Options{
		PartitionBy: []string{"shop"}, Limits: partition.DefaultLimits(),
	})
	require.NoError(t, err)
	// Not what getrusage says: that begins with the memory of the process it was started from.
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), status, 0o600))
}
