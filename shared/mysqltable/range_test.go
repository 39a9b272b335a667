package mysqltable_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// bounds is a range of watermarks; low "" is open.
func bounds(column, low, high string) mysqltable.Range {
	w := &mysqltable.WatermarkBounds{Column: column, High: high}
	if low != "" {
		w.Low = &low
	}
	return mysqltable.Range{Watermark: w}
}

func TestARangeOfWatermarksIsReadOnceInOrderWithBothEnds(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	for name, c := range map[string]struct {
		columns  string
		chunkKey []string
	}{
		"without an index":       {"id INT PRIMARY KEY, at DATETIME(6), n BIGINT UNSIGNED", []string{"id"}},
		"with an index":          {"id INT PRIMARY KEY, at DATETIME(6), n BIGINT UNSIGNED, INDEX w (at)", []string{"at", "id"}},
		"index with the key":     {"id INT PRIMARY KEY, at DATETIME(6), n BIGINT UNSIGNED, INDEX w (at, id)", []string{"at", "id"}},
		"index in another order": {"id INT PRIMARY KEY, at DATETIME(6), n BIGINT UNSIGNED, INDEX w (at, n)", []string{"id"}},
		"leading the key":        {"id INT, at DATETIME(6), n BIGINT UNSIGNED, PRIMARY KEY (at, id)", []string{"at", "id"}},
		"in the key":             {"id INT, at DATETIME(6), n BIGINT UNSIGNED, PRIMARY KEY (id, at), INDEX w (at)", []string{"at", "id"}},
		"key is not primary":     {"id INT NOT NULL UNIQUE, at DATETIME(6), n BIGINT UNSIGNED, INDEX w (at)", []string{"id"}},
		"no key":                 {"id INT, at DATETIME(6), n BIGINT UNSIGNED, INDEX w (at)", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(name, " ", "_")
			db.Exec(t, "CREATE TABLE "+name+" ("+c.columns+")",
				// Seven rows share each moment.
				"INSERT INTO "+name+" SELECT 1000 - seq, '2020-01-01 00:00:00.5' + INTERVAL seq DIV 7 SECOND, seq FROM seq_0_to_699")
			table := open(t, db, name, strict)
			r := bounds("at", "2020-01-01 00:00:10.500000", "2020-01-01 00:00:19.500000")
			require.Equal(t, c.chunkKey, table.ChunkKey(r))
			rows, chunks := readRange(t, table, r, 9)
			if len(c.chunkKey) > 0 {
				require.Equal(t, 8, chunks)
			}
			got := map[int64]bool{}
			for i, row := range rows {
				got[row[2].Int] = true
				if len(c.chunkKey) > 1 && i > 0 {
					require.LessOrEqual(t, rows[i-1][1].Int, row[1].Int)
				}
			}
			require.Len(t, rows, 70)
			require.Len(t, got, 70)
			require.True(t, got[70] && got[139])

			rows, _ = readRange(t, table, bounds("at", "", "2020-01-01 00:00:00.500000"), 100)
			require.Len(t, rows, 7)
			rows, _ = readRange(t, table, bounds("n", "690", "695"), 3)
			require.Len(t, rows, 6)
		})
	}
}

// Left to itself the server reads and sorts the whole table for a chunk of half of it.
func TestAChunkOfWatermarksIsReadByTheIndex(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE big (id INT PRIMARY KEY, at DATETIME, v CHAR(50), INDEX (at))",
		"INSERT INTO big SELECT 60000 - seq, '2020-01-01' + INTERVAL seq DIV 3 SECOND, seq FROM seq_1_to_50000", "ANALYZE TABLE big")
	table := open(t, db, "big", strict)
	r := bounds("at", "2020-01-01 00:00:05", "2020-01-01 04:00:00")
	r.From = []string{"2020-01-01 00:20:00", "56400"}
	before := handlerReads(t, table)
	next, err := table.Read(context.Background(), r, 30_000, func(schema.Row, uint32) error { return nil })
	require.NoError(t, err)
	require.Less(t, handlerReads(t, table)-before, int64(31_000), "rows the server looked at for 30,000")
	r.To = next
	n, err := table.Count(context.Background(), r)
	require.NoError(t, err)
	require.EqualValues(t, 30_000, n)
	require.Less(t, handlerReads(t, table)-before, int64(62_000), "rows the server looked at for two queries over 30,000")
}

func TestRowsWithoutAWatermarkAreReportedWithTheHighOne(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMP(3) NULL, n BIGINT UNSIGNED NOT NULL, d DATE NULL, name VARCHAR(5))",
		"INSERT INTO orders VALUES (1, '2020-01-01 10:00:00.25', 18446744073709551615, '0000-00-00', 'x'), (2, NULL, 3, '2020-02-01', 'y')",
		"CREATE TABLE empty LIKE orders")
	high := func(table *mysqltable.Table, column string) (string, bool) {
		high, nulls, err := table.High(context.Background(), column)
		require.NoError(t, err)
		if high == nil {
			return "none", nulls
		}
		return *high, nulls
	}
	for column, want := range map[string][]any{
		"at": {"2020-01-01 10:00:00.250", true}, "n": {"18446744073709551615", false}, "d": {"2020-02-01", false}, "id": {"2", false},
	} {
		value, nulls := high(open(t, db, "orders", strict), column)
		require.Equal(t, want, []any{value, nulls}, column)
		value, nulls = high(open(t, db, "empty", strict), column)
		require.Equal(t, []any{"none", false}, []any{value, nulls}, column)
	}
	lenient := mysqltable.Options{ZeroDates: mysqltable.NullZeroDates}
	_, nulls := high(open(t, db, "orders", lenient), "d")
	require.True(t, nulls, "a zero date that is read as NULL")
	db.Exec(t, "CREATE TABLE zero LIKE orders", "INSERT INTO zero VALUES (1, NULL, 3, '0000-00-00', 'x')")
	value, nulls := high(open(t, db, "zero", lenient), "d")
	require.Equal(t, []any{"none", true}, []any{value, nulls})
	_, _, err := open(t, db, "orders", strict).High(context.Background(), "name")
	require.ErrorContains(t, err, "column name (varchar(5)) cannot be a watermark: name a date")
	_, _, err = open(t, db, "orders", strict).High(context.Background(), "nam")
	require.ErrorContains(t, err, "no column nam (there are:")
}

func TestKeyAtCutsATableByTheIndexAlone(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE big (a INT, b BINARY(2), v TEXT, PRIMARY KEY (a, b))",
		"INSERT INTO big SELECT seq DIV 10, CHAR(seq DIV 256, seq MOD 256), seq FROM seq_0_to_999", "CREATE TABLE keyless (a INT)")
	table := open(t, db, "big", strict)
	at := func(r mysqltable.Range, offset int64) []string {
		place, err := table.KeyAt(context.Background(), r, offset)
		require.NoError(t, err)
		return place
	}
	require.Equal(t, []string{"0", "0000"}, at(mysqltable.Range{}, 0))
	require.Equal(t, []string{"50", "01f4"}, at(mysqltable.Range{}, 500))
	require.Equal(t, []string{"99", "03e7"}, at(mysqltable.Range{}, 999))
	require.Nil(t, at(mysqltable.Range{}, 1000))
	require.Equal(t, []string{"60", "0258"}, at(mysqltable.Range{From: []string{"50", "01f4"}}, 100))
	require.Nil(t, at(mysqltable.Range{To: []string{"50", "01f4"}}, 500))
	lower, _ := readRange(t, table, mysqltable.Range{To: []string{"50", "01f4"}}, 1000)
	require.Len(t, lower, 500)
	_, err := open(t, db, "keyless", strict).KeyAt(context.Background(), mysqltable.Range{}, 5)
	require.ErrorContains(t, err, "table keyless: without a key")
}
