package extract_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
)

// increment asks for a night's run of an incremental table.
func increment(table string, night lake.Run, overlap string) extract.Request {
	return extract.Request{Dataset: "shop", Table: table, Run: night, Settings: dataset.Table{
		Extract: dataset.Extract{Mode: dataset.Incremental, Watermark: "changed", Overlap: overlap, ZeroDates: dataset.ZeroDatesFail},
	}}
}

// nights of consecutive days, and a second run of the second day.
const (
	first  = lake.Run("20261120T020000Z")
	second = lake.Run("20261121T020000Z")
	again  = lake.Run("20261121T140000Z")
	third  = lake.Run("20261122T020000Z")
)

// setupChanges makes a table of three orders, watermarked by the second of their last change.
func setupChanges(t *testing.T) (*mariadbtest.Database, *extract.Extractor, func(extract.Request) lake.RawManifest) {
	t.Helper()
	db, e, _ := setup(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, state VARCHAR(9), changed DATETIME(3) NOT NULL, KEY (changed))",
		`INSERT INTO orders VALUES (1, 'new', '2026-11-19 10:00:00'), (2, 'new', '2026-11-19 11:00:00'), (3, 'new', '2026-11-19 12:00:00')`)
	return db, e, func(r extract.Request) lake.RawManifest {
		t.Helper()
		result, err := e.Extract(context.Background(), r)
		require.NoError(t, err)
		require.True(t, result.Published)
		return result.Manifest
	}
}

func text(s string) *string { return &s }

func TestAnIncrementalRunReadsFromTheLastDaysHighWatermarkInclusive(t *testing.T) {
	t.Parallel()
	db, e, land := setupChanges(t)
	m := land(increment("orders", first, "0s"))
	require.Equal(t, &lake.Watermark{Column: "changed", High: "2026-11-19 12:00:00.000"}, m.Watermark)
	require.EqualValues(t, 3, m.Rows, "the first run has no low bound")
	require.Empty(t, m.Parents)

	// In the same moment as the greatest one, which the last run may not have seen; a change; a new one.
	db.Exec(t, "INSERT INTO orders VALUES (4, 'new', '2026-11-19 12:00:00')", "UPDATE orders SET state = 'paid', changed = '2026-11-20 09:00:00' WHERE id = 1")
	m = land(increment("orders", second, "0s"))
	require.Equal(t, &lake.Watermark{Column: "changed", Low: text("2026-11-19 12:00:00.000"), High: "2026-11-20 09:00:00.000"}, m.Watermark)
	require.Equal(t, dataset.Incremental, m.Mode)
	require.ElementsMatch(t, []string{"1\x1fpaid\x1f2026-11-20 09:00:00.000", "3\x1fnew\x1f2026-11-19 12:00:00.000", "4\x1fnew\x1f2026-11-19 12:00:00.000"}, read(t, e.Store, m))
	require.Equal(t, lake.RawMarker("orders", first), m.Parents[0].Key)

	// A second run of the day replaces the first one downstream: it counts from the day before, too.
	m = land(increment("orders", again, "0s"))
	require.Equal(t, text("2026-11-19 12:00:00.000"), m.Watermark.Low)
	require.EqualValues(t, 3, m.Rows)
	require.Equal(t, lake.RawMarker("orders", first), m.Parents[0].Key)

	m = land(increment("orders", third, "1h30m"))
	require.Equal(t, text("2026-11-20 07:30:00.000"), m.Watermark.Low, "less the overlap")
	require.EqualValues(t, 1, m.Rows)
	require.Equal(t, lake.RawMarker("orders", again), m.Parents[0].Key, "the newest run of the day before")
}

func TestRowsThatCommitLateAreInTheOverlap(t *testing.T) {
	t.Parallel()
	db, e, land := setupChanges(t)
	land(increment("orders", first, ""))
	db.Exec(t, "INSERT INTO orders VALUES (5, 'late', '2026-11-19 11:51:00'), (6, 'too late', '2026-11-19 11:49:00')")
	m := land(increment("orders", second, ""))
	require.Equal(t, text("2026-11-19 11:50:00.000"), m.Watermark.Low, "ten minutes if nothing is said")
	require.Equal(t, []string{"5\x1flate\x1f2026-11-19 11:51:00.000", "3\x1fnew\x1f2026-11-19 12:00:00.000"}, read(t, e.Store, m), "along the index of the watermark")
}

func TestAFullRunOfAnIncrementalTableIsWhereTheNextOneCountsFrom(t *testing.T) {
	t.Parallel()
	db, e, land := setupChanges(t)
	land(increment("orders", first, "0s"))
	db.Exec(t, "INSERT INTO orders VALUES (7, 'paid', '2026-11-20 12:00:00')")
	refresh := increment("orders", second, "0s")
	refresh.Mode = dataset.Full
	m := land(refresh)
	require.Equal(t, dataset.Full, m.Mode)
	require.EqualValues(t, 4, m.Rows)
	require.Equal(t, &lake.Watermark{Column: "changed", High: "2026-11-20 12:00:00.000"}, m.Watermark)
	m = land(increment("orders", third, "0s"))
	require.EqualValues(t, 1, m.Rows)

	refresh.Run = third
	_, err := e.Extract(context.Background(), refresh)
	require.ErrorContains(t, err, "published already, in mode incremental: a full one needs a run of its own")
}

func TestARetryOfAnIncrementalRunReadsUpToTheSameWatermark(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, changed BIGINT UNSIGNED NOT NULL)", "INSERT INTO orders SELECT seq, seq FROM seq_1_to_20000")
	store := e.Store
	e.Store = &dying{Store: store, left: 4} // two files with their checkpoints
	_, err := e.Extract(context.Background(), increment("orders", first, ""))
	require.ErrorIs(t, err, errDied)
	require.Contains(t, objects(t, dir), lake.RawCheckpointKey("orders", first))
	db.Exec(t, "INSERT INTO orders SELECT seq, seq FROM seq_20001_to_20010")
	e.Store = store
	result, err := e.Extract(context.Background(), increment("orders", first, ""))
	require.NoError(t, err)
	require.NotZero(t, result.Resumed)
	require.Equal(t, "20000", result.Manifest.Watermark.High)
	require.EqualValues(t, 20000, result.Manifest.Rows)
	require.Len(t, read(t, store, result.Manifest), 20000)
	require.NotContains(t, objects(t, dir), lake.RawCheckpointKey("orders", first))
}

func TestRowsWithoutAWatermarkAndColumnsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, changed DATETIME)", "INSERT INTO orders VALUES (1, NULL)",
		"CREATE TABLE names (id INT PRIMARY KEY, changed VARCHAR(9))",
		"CREATE TABLE visits (changed DATETIME NOT NULL)",
		"CREATE TABLE days (id INT PRIMARY KEY, changed DATE NOT NULL)", "INSERT INTO days VALUES (1, '2026-11-19')")
	for table, want := range map[string]string{
		"orders":  "rows without a value in the watermark column changed would be in no run",
		"names":   "name a date, datetime, timestamp or integer column",
		"ratings": "no column changed (there are: customer",
		"visits":  "has no key, and the incremental mode needs one",
	} {
		_, err := e.Extract(context.Background(), increment(table, first, ""))
		require.ErrorContains(t, err, want)
	}
	_, err := e.Extract(context.Background(), increment("days", first, "1000"))
	require.ErrorContains(t, err, `overlap "1000": the watermark column changed is date: want a duration such as 10m`)
	_, err = e.Extract(context.Background(), increment("days", first, "10m"))
	require.NoError(t, err)
	next, err := e.Extract(context.Background(), increment("days", second, "10m"))
	require.NoError(t, err)
	require.Equal(t, text("2026-11-18"), next.Manifest.Watermark.Low, "whole days")

	full := increment("orders", first, "")
	full.Mode = dataset.Full
	result, err := e.Extract(context.Background(), full)
	require.NoError(t, err, "a full run has no bounds that a row could miss")
	require.Nil(t, result.Manifest.Watermark)
}

func TestAnEmptyTableAndGreatestRowsThatWereDeletedLoseNothing(t *testing.T) {
	t.Parallel()
	db, _, land := setupChanges(t)
	db.Exec(t, "CREATE TABLE none LIKE orders")
	m := land(increment("none", first, "0s"))
	require.Equal(t, dataset.Full, m.Mode)
	require.Nil(t, m.Watermark)
	db.Exec(t, "INSERT INTO none SELECT * FROM orders")
	require.EqualValues(t, 3, land(increment("none", second, "0s")).Rows)
	db.Exec(t, "DELETE FROM none")
	m = land(increment("none", third, "0s"))
	require.Zero(t, m.Rows)
	require.Equal(t, &lake.Watermark{Column: "changed", Low: text("2026-11-19 12:00:00.000"), High: "2026-11-19 12:00:00.000"}, m.Watermark)

	land(increment("orders", first, "0s"))
	db.Exec(t, "DELETE FROM orders WHERE id = 3")
	m = land(increment("orders", second, "0s"))
	require.Equal(t, &lake.Watermark{Column: "changed", Low: text("2026-11-19 11:00:00.000"), High: "2026-11-19 11:00:00.000"}, m.Watermark)
	db.Exec(t, "INSERT INTO orders VALUES (8, 'new', '2026-11-19 11:30:00')")
	require.EqualValues(t, 2, land(increment("orders", third, "0s")).Rows)
}

// TestNewestRowsOfAllRunsAreTheTable: whatever happens between the nights, the newest row of each key
// over the runs is the table as of the last one.
func TestNewestRowsOfAllRunsAreTheTable(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		table := fmt.Sprintf("changes_%d", n)
		db.Exec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v INT, changed INT NOT NULL)")
		want, got := map[int]string{}, map[string]string{}
		now, open := 100, []string(nil)
		for night, runs := 0, rapid.IntRange(2, 5).Draw(rt, "nights"); night < runs; night++ {
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				now += rapid.IntRange(0, 2).Draw(rt, "later") // 0: the same watermark again
				id, v := rapid.IntRange(1, 9).Draw(rt, "id"), rapid.IntRange(0, 99).Draw(rt, "v")
				change := fmt.Sprintf("REPLACE INTO %s VALUES (%d, %d, %d)", table, id, v, now)
				if id > 7 { // its transaction commits after the night
					open = append(open, change) // at most twelve below the night's greatest
				} else {
					db.Exec(t, change)
				}
			}
			last := night == runs-1
			if last {
				db.Exec(t, open...)
			}
			result, err := e.Extract(context.Background(), increment(table, lake.Run(fmt.Sprintf("202611%02dT020000Z", night+1)), "12"))
			require.NoError(rt, err)
			for _, row := range read(t, e.Store, result.Manifest) {
				var id, v, changed int
				_, err := fmt.Sscanf(row, "%d\x1f%d\x1f%d", &id, &v, &changed)
				require.NoError(rt, err)
				got[fmt.Sprint(id)] = row
			}
			if !last {
				db.Exec(t, open...)
				open = nil
			}
		}
		rows, err := db.DB.Query("SELECT id, CONCAT_WS(X'1F', id, v, changed) FROM " + table)
		require.NoError(rt, err)
		defer rows.Close()
		for rows.Next() {
			var id int
			var row string
			require.NoError(rt, rows.Scan(&id, &row))
			want[id] = row
		}
		var wanted, newest []string
		for id, row := range want {
			wanted, newest = append(wanted, row), append(newest, got[fmt.Sprint(id)])
		}
		slices.Sort(wanted)
		slices.Sort(newest)
		require.Equal(rt, wanted, newest)
	})
}
