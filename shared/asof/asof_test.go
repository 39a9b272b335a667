package asof_test

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// enough holds the keys of any test.
const enough = 1 << 20

var (
	id      = schema.Column{Name: "id", Kind: schema.Int, Bits: 32}
	name    = schema.Column{Name: "name", Kind: schema.String, Nullable: true}
	changed = schema.Column{Name: "changed", Kind: schema.Int, Bits: 64}
)

// day is a curated day to be published.
type day struct {
	date     string
	low      string // "" is from the beginning
	high     string
	full     bool
	columns  []schema.Column
	key      []string
	rows     []schema.Row
	perFile  int
	markerOf func(*lake.CuratedSuccess)
}

func (d day) run() lake.Run {
	run, err := lake.ParseRun(d.date + "T02:00:00Z")
	if err != nil {
		panic(err)
	}
	return run
}

// publish writes the day's files and marker.
func publish(t require.TestingT, s lake.Store, d day) (lake.CuratedSuccess, lake.Parent) {
	ctx, run := context.Background(), d.run()
	if d.columns == nil {
		d.columns = []schema.Column{id, name, changed}
	}
	if d.key == nil {
		d.key = []string{"id"}
	}
	m := lake.CuratedSuccess{
		Header: lake.Header{Format: lake.CuratedFormat, Dataset: "classicmodels", Run: run},
		Table:  "orders", Mode: "incremental", Columns: d.columns, Key: d.key, Rows: int64(len(d.rows)),
	}
	if d.full {
		m.Mode = "full"
	} else {
		m.Watermark = &lake.Watermark{Column: "changed", High: d.high}
		if d.low != "" {
			m.Watermark.Low = &d.low
		}
	}
	if d.perFile == 0 {
		d.perFile = 100
	}
	for rows := range slices.Chunk(d.rows, d.perFile) {
		partition := fmt.Sprintf("part=%d/", len(m.Files))
		f, err := parquetwriter.WriteVerified(ctx, s, lake.CuratedPart("orders", run, partition, 0), d.columns, all(rows))
		require.NoError(t, err)
		m.Files, m.Checksum = append(m.Files, f), m.Checksum.Plus(f.Checksum)
	}
	if d.markerOf != nil {
		d.markerOf(&m)
	}
	key := lake.CuratedMarker("orders", run)
	_, err := lake.Publish(ctx, s, key, m)
	require.NoError(t, err)
	m, parent, err := lake.ReadMarker[lake.CuratedSuccess](ctx, s, key, lake.CuratedFormat)
	require.NoError(t, err)
	return m, parent
}

func all(rows []schema.Row) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// table publishes days, oldest first, and reads the table as of the last.
func table(t *testing.T, days ...day) (lake.Store, *asof.Table, error) {
	t.Helper()
	s := lake.NewDirectory(t.TempDir())
	var newest lake.CuratedSuccess
	var self lake.Parent
	for _, d := range days {
		newest, self = publish(t, s, d)
	}
	return chain(t, s, newest, self)
}

func chain(t *testing.T, s lake.Store, newest lake.CuratedSuccess, self lake.Parent) (lake.Store, *asof.Table, error) {
	t.Helper()
	parents, err := asof.Chain(t.Context(), s, newest, self)
	require.NoError(t, err)
	tables, err := asof.Read(t.Context(), s, parents)
	return s, tables["orders"], err
}

func texts(t require.TestingT, s lake.Store, table *asof.Table) (texts []string) {
	for row, err := range table.Each(context.Background(), s, enough) {
		require.NoError(t, err)
		text := ""
		for i, c := range table.Columns {
			if text += " "; row[i].Null {
				text += "NULL"
			} else {
				text += schema.Text(c, row[i])
			}
		}
		texts = append(texts, text[1:])
	}
	return texts
}

var (
	monday    = day{date: "2026-11-16", high: "10", rows: []schema.Row{laketest.Row(1, "a", 9), laketest.Row(2, "b", 10), laketest.Row(3, "c", 5)}}
	tuesday   = day{date: "2026-11-17", low: "10", high: "20", rows: []schema.Row{laketest.Row(2, nil, 15), laketest.Row(4, "d", 20)}}
	wednesday = day{date: "2026-11-18", low: "20", high: "30", rows: []schema.Row{laketest.Row(4, "dd", 25), laketest.Row(2, "bb", 30)}}
)

func TestTheNewestRowOfEachKeyIsTheTable(t *testing.T) {
	t.Parallel()
	s, got, err := table(t, monday, tuesday, wednesday)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"1 a 9", "2 bb 30", "3 c 5", "4 dd 25"}, texts(t, s, got))
	require.EqualValues(t, 7, got.Rows())
	require.Len(t, got.Days, 3)
}

func TestAWholeDayNeedsNoOlderOne(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]day{
		"a full run":                   {date: "2026-11-17", full: true, rows: tuesday.rows},
		"a run without a low":          {date: "2026-11-17", high: "20", rows: tuesday.rows},
		"a full run without key":       {date: "2026-11-17", full: true, rows: tuesday.rows, key: []string{}},
		"a full run after a wider gap": {date: "2026-11-19", full: true, rows: tuesday.rows},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, got, err := table(t, monday, whole)
			require.NoError(t, err)
			require.Len(t, got.Days, 1)
			require.Equal(t, []string{"2 NULL 15", "4 d 20"}, texts(t, s, got))
		})
	}
}

func TestChangesGoOnFromAFullRun(t *testing.T) {
	t.Parallel()
	full := day{date: "2026-11-16", full: true, rows: monday.rows}
	s, got, err := table(t, full, tuesday)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"1 a 9", "2 NULL 15", "3 c 5", "4 d 20"}, texts(t, s, got))
}

func TestAGapIsRefused(t *testing.T) {
	t.Parallel()
	_, _, err := table(t, monday, wednesday) // Tuesday was never curated
	require.ErrorIs(t, err, asof.ErrRefresh)
	require.ErrorContains(t, err, "table orders as of run 20261118T020000Z: there is a gap: day 2026-11-18 begins at changed 20, the day before it that is there, 2026-11-16, ends at 10")
	_, _, err = table(t, tuesday)
	require.ErrorContains(t, err, "day 2026-11-17 holds the changes since 10, and no older day is there")
}

func TestDaysWithoutARunAreNoGap(t *testing.T) {
	t.Parallel()
	later := wednesday
	later.date = "2026-12-24"
	s, got, err := table(t, monday, tuesday, later)
	require.NoError(t, err)
	require.Len(t, texts(t, s, got), 4)
}

func TestWatermarksAreComparedByTheirType(t *testing.T) {
	t.Parallel()
	clock := func(fraction int) schema.Column {
		return schema.Column{Name: "changed", Kind: schema.Datetime, Fraction: fraction}
	}
	for _, c := range []struct {
		column    schema.Column
		high, low string
		gap       bool
	}{
		{changed, "9", "10", true}, {changed, "10", "9", false}, {changed, "-10", "-9", true}, {changed, "-9", "-10", false},
		{schema.Column{Name: "changed", Kind: schema.Uint, Bits: 64}, "18446744073709551615", "9223372036854775808", false},
		{clock(6), "2026-11-22 10:00:00", "2026-11-22 10:00:00.000000", false},
		{clock(6), "2026-11-22 10:00:00", "2026-11-22 10:00:00.000001", true},
		{clock(6), "2026-11-22 10:00:00.500000", "2026-11-22 10:00:00.5", false},
		{clock(0), "2026-11-22 10:00:00", "2026-11-22 09:59:59", false},
		{schema.Column{Name: "changed", Kind: schema.Date}, "2026-11-20", "2026-11-21", true},
	} {
		columns := []schema.Column{id, c.column}
		_, _, err := table(t,
			day{date: "2026-11-16", high: c.high, columns: columns, rows: []schema.Row{laketest.Row(1, 1)}},
			day{date: "2026-11-17", low: c.low, high: c.low, columns: columns, rows: []schema.Row{laketest.Row(1, 2)}})
		require.Equal(t, c.gap, err != nil, "%s: high %s, low %s: %v", c.column.Kind, c.high, c.low, err)
	}
}

func TestColumnsAreTheNewestDays(t *testing.T) {
	t.Parallel()
	price := func(precision int) schema.Column {
		return schema.Column{Name: "price", Kind: schema.Decimal, Precision: precision, Scale: 2}
	}
	gone := schema.Column{Name: "gone", Kind: schema.String}
	wideID := schema.Column{Name: "id", Kind: schema.Int, Bits: 64}
	sometimes := changed
	sometimes.Nullable = true
	s, got, err := table(t,
		day{date: "2026-11-16", high: "10", columns: []schema.Column{id, gone, price(10), sometimes}, rows: []schema.Row{laketest.Row(1, "x", -1205, 1), laketest.Row(2, "y", 3, 2)}},
		day{date: "2026-11-17", low: "10", high: "20", columns: []schema.Column{{Name: "name", Kind: schema.String}, price(20), wideID, changed},
			rows: []schema.Row{{{Bytes: []byte("new")}, {Bytes: []byte{1, 0}}, {Int: 2}, {Int: 20}}}})
	require.NoError(t, err)
	require.Equal(t, []string{"new 2.56 2 20", "NULL -12.05 1 1"}, texts(t, s, got))
	require.True(t, got.Columns[0].Nullable, "an older row has none")
	require.True(t, got.Columns[3].Nullable, "an older row may have none")
	require.Equal(t, 64, got.Columns[2].Bits)
}

func TestWhatCannotBePutTogetherIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		older, day day
		want       string
	}{
		"another type": {day{columns: []schema.Column{id, {Name: "name", Kind: schema.Bytes, Source: "blob"}, changed}, rows: monday.rows}, day{}, "day 2026-11-16: column name is blob in it, now it is string"},
		"a narrower type": {day{columns: []schema.Column{id, name, {Name: "changed", Kind: schema.Int, Bits: 64}}, rows: monday.rows},
			day{columns: []schema.Column{id, name, {Name: "changed", Kind: schema.Int, Bits: 16}}}, "column changed is int in it"},
		"another key":          {day{key: []string{"name"}}, day{}, "the key is [id] on day 2026-11-17 and [name] on day 2026-11-16"},
		"no key":               {day{}, day{markerOf: func(m *lake.CuratedSuccess) { m.Key = nil }}, "it has no key"},
		"another watermark":    {day{markerOf: func(m *lake.CuratedSuccess) { m.Watermark.Column = "id" }}, day{}, "the watermark is changed on day 2026-11-17 and id on day 2026-11-16"},
		"a broken watermark":   {day{markerOf: func(m *lake.CuratedSuccess) { m.Watermark.High = "x" }}, day{}, `watermark changed: "10" or "x" is no integer`},
		"a text for watermark": {day{}, day{columns: []schema.Column{id, name, {Name: "changed", Kind: schema.String}}, rows: []schema.Row{}}, "a column of type string is no watermark"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.older.date, c.older.high = monday.date, monday.high
			c.day.date, c.day.low, c.day.high = tuesday.date, tuesday.low, tuesday.high
			_, _, err := table(t, c.older, c.day)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "table orders as of run 20261117T020000Z")
		})
	}
}

func TestAReplacedDayIsNoticed(t *testing.T) {
	t.Parallel()
	s := lake.NewDirectory(t.TempDir())
	publish(t, s, monday)
	newest, self := publish(t, s, tuesday)
	parents, err := asof.Chain(t.Context(), s, newest, self)
	require.NoError(t, err)
	require.Len(t, parents, 2)
	_, err = asof.Read(t.Context(), s, []lake.Parent{parents[1], parents[0]})
	require.ErrorContains(t, err, "want newest first")
	again := monday
	again.rows = again.rows[:1]
	again.markerOf = func(m *lake.CuratedSuccess) { m.Run = "20261116T200000Z" }
	publish(t, s, again)
	_, err = asof.Read(t.Context(), s, parents)
	require.ErrorIs(t, err, lake.ErrStale)
	require.NoError(t, s.Delete(t.Context(), parents[1].Key))
	_, err = asof.Read(t.Context(), s, parents)
	require.ErrorIs(t, err, lake.ErrNotFound)
}

func TestKeysThatDoNotFitSayHowMuchTheyNeed(t *testing.T) {
	t.Parallel()
	for rows := range 2 { // the oldest day's keys are not remembered
		older := monday
		older.rows = nil
		for i := range 1000 {
			older.rows = append(older.rows, laketest.Row(i, "x", 1))
		}
		newer := tuesday
		newer.rows = older.rows[:2+rows]
		s, got, err := table(t, older, newer)
		require.NoError(t, err)
		var n int
		for _, err = range got.Each(t.Context(), s, 150) { // two keys
			if err == nil {
				n++
			}
		}
		if rows == 0 {
			require.NoError(t, err)
			require.Equal(t, 1000, n)
			continue
		}
		require.ErrorIs(t, err, asof.ErrMemory)
		require.ErrorContains(t, err, "table orders: not enough memory for the keys of changed rows: 3 on 1 days need about 1 MiB, 0 MiB are free")
	}
}

// Whatever changes on whatever day, in however many files, the table is what the database had.
func TestAnyHistoryIsReadAsTheDatabaseHadIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s := lake.NewDirectory(t.TempDir())
		database := map[int]string{}
		var newest lake.CuratedSuccess
		var self lake.Parent
		for n := range rapid.IntRange(1, 5).Draw(r, "days") {
			changes := map[int]schema.Row{}
			for _, key := range rapid.SliceOfDistinct(rapid.IntRange(0, 9), rapid.ID[int]).Draw(r, "changed keys") {
				value := rapid.StringN(0, 3, -1).Draw(r, "value")
				database[key] = fmt.Sprintf("%d %s %d", key, value, n)
				changes[key] = laketest.Row(key, value, n)
			}
			d := day{date: fmt.Sprintf("2026-11-%02d", 10+n), high: fmt.Sprint(n), perFile: rapid.IntRange(1, 4).Draw(r, "rows of a file")}
			if n > 0 {
				d.low = fmt.Sprint(n - 1)
			}
			d.rows = slices.SortedFunc(maps.Values(changes), func(a, b schema.Row) int { return cmp.Compare(a[0].Int, b[0].Int) })
			newest, self = publish(r, s, d)
		}
		parents, err := asof.Chain(context.Background(), s, newest, self)
		require.NoError(r, err)
		tables, err := asof.Read(context.Background(), s, parents)
		require.NoError(r, err)
		require.ElementsMatch(r, slices.Collect(maps.Values(database)), texts(r, s, tables["orders"]))
	})
}

func TestAKeyThatDoesNotTellRowsApartIsRefused(t *testing.T) {
	t.Parallel()
	twice := tuesday
	twice.rows = append(twice.rows, laketest.Row(4, "e", 20))
	s, got, err := table(t, monday, twice)
	require.NoError(t, err)
	for _, err = range got.Each(t.Context(), s, enough) {
	}
	require.ErrorContains(t, err, "two rows of 20261117T")
	require.ErrorContains(t, err, "have the same key (id)")
	require.ErrorIs(t, err, asof.ErrRefresh)
}
