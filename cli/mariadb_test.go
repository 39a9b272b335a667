package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// mariadb is one server for all tests of the package, each with a database of its own; nil if
// MariaDB is not installed.
var mariadb *mariadbtest.Server

func TestMain(m *testing.M) { mariadbtest.Main(m, &mariadb) }

const night = "20261122T020000Z"

// shop is a database with a table of orders, and how to name it on a command line.
type shop struct {
	*mariadbtest.Database
	dsn string
}

func setupShop(t *testing.T) shop {
	t.Helper()
	db := mariadb.Database(t)
	db.Exec(t, `CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, city VARCHAR(20), price DECIMAL(10,2) NOT NULL, at DATETIME(3))`,
		`INSERT INTO orders SELECT seq * 1000000007, ELT(1 + seq MOD 3, 'Nantes', '大阪', NULL), seq / 100 - 5, IF(seq MOD 10 = 0, NULL, '2026-01-01' + INTERVAL seq * 500 MICROSECOND) FROM seq_1_to_3000`)
	return shop{db, db.Config().FormatDSN()}
}

// publish extracts and partitions the table into dir.
func (s shop) publish(t *testing.T, table, dir string, extractFlags ...string) {
	t.Helper()
	_, err := millrace(t, append([]string{"extract", "--dsn", s.dsn, "--table", table, "--run", night, "--out", dir}, extractFlags...)...)
	require.NoError(t, err)
	_, err = millrace(t, "partition", "--in", dir, "--table", table, "--run", night, "--out", dir)
	require.NoError(t, err)
}

func (s shop) verify(t *testing.T, table, dir string) (verification, error) {
	t.Helper()
	out, err := millrace(t, "verify", "--dsn", s.dsn, "--in", dir, "--table", table, "--run", night, "--json")
	if out == "" {
		return verification{}, err
	}
	return decode[verification](t, out), err
}

func TestATableIsExtractedPartitionedAndVerifiedWithoutADatasetFile(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	out, err := millrace(t, "extract", "--dsn", s.dsn, "--table", "orders", "--run", "2026-11-22T02:00:00Z", "--out", dir, "--json")
	require.NoError(t, err)
	x := decode[extraction](t, out)
	require.Equal(t, "raw/orders/dt=2026-11-22/run=20261122T020000Z/_MANIFEST.json", x.Marker, "the lake's own keys")
	require.EqualValues(t, 3000, x.Rows)
	require.Equal(t, x.Source, x.Checksum)
	require.Equal(t, s.Name, x.Dataset)
	require.Equal(t, []string{"id"}, x.Key)
	require.Equal(t, lake.Consistent, x.Snapshot.Kind)

	out, err = millrace(t, "partition", "--in", dir, "--table", "orders", "--run", night, "--partition-by", "city", "--out", dir, "--json")
	require.NoError(t, err)
	c := decode[curation](t, out)
	require.Equal(t, x.Checksum, c.Checksum)
	require.Equal(t, 3, c.Files)

	out, err = millrace(t, "verify", "--dsn", s.dsn, "--in", dir, "--table", "orders", "--run", night)
	require.NoError(t, err)
	for _, part := range []string{"database     3000 rows, ", "published    3000 rows, ", "extracted    3000 rows, ", "equal: "} {
		require.Contains(t, out, part)
	}
	v, err := s.verify(t, "orders", dir)
	require.NoError(t, err)
	require.True(t, v.Equal)
	require.Equal(t, x.Checksum, v.Published)
	require.Equal(t, v.Published, v.Database)
}

func TestAnExtractionIsRepeatableAndNeverMixesDatabases(t *testing.T) {
	t.Parallel()
	s, dir, again := setupShop(t), t.TempDir(), t.TempDir()
	s.publish(t, "orders", dir)
	s.publish(t, "orders", again)
	one, two := laketest.Objects(t, lake.NewDirectory(dir)), laketest.Objects(t, lake.NewDirectory(again))
	for key, content := range one {
		// The markers say where the server's log was, which other tests move.
		require.True(t, strings.HasPrefix(filepath.Base(key), "_") || content == two[key], key)
	}
	require.Len(t, two, len(one))
	out, err := millrace(t, "extract", "--dsn", s.dsn, "--table", "orders", "--run", night, "--out", dir)
	require.NoError(t, err)
	require.Contains(t, out, "was there already")

	_, err = millrace(t, "extract", "--dsn", setupShop(t).dsn, "--table", "orders", "--run", night, "--out", dir)
	require.ErrorContains(t, err, "already, from database "+s.Name)
	_, err = millrace(t, "extract", "--dsn", s.dsn, "--table", "orders", "--run", night, "--out", dir, "--mode", "incremental", "--watermark", "id")
	require.ErrorContains(t, err, "already, with another --mode (full) or --watermark: name another --out or --run")
	_, err = millrace(t, "extract", "--dsn", s.dsn, "--table", "orders", "--run", night, "--out", dir, "--key", "at,id")
	require.ErrorContains(t, err, "with key [id]")
}

func TestATableWithoutAPrimaryKeyIsSortedByTheKeyThatIsNamed(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	s.Exec(t, "CREATE TABLE visits (who VARCHAR(10) NOT NULL, n INT)", "INSERT INTO visits VALUES ('c', 1), ('a', 2), ('b', 3)")
	s.publish(t, "visits", dir, "--key", "who,n")
	path := filepath.Join(dir, "curated/visits/dt=2026-11-22/part-00000.parquet")
	store := lake.NewDirectory(dir)
	marker, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), store, lake.CuratedMarker("visits", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.Equal(t, []string{"who", "n"}, marker.Key)
	var who []string
	for row, err := range laketable.Rows(t.Context(), store, marker.Files[0], marker.Columns) {
		require.NoError(t, err)
		who = append(who, string(row[0].Bytes))
	}
	require.Equal(t, []string{"a", "b", "c"}, who, path)
	_, err = millrace(t, "extract", "--dsn", s.dsn, "--table", "visits", "--run", night, "--out", t.TempDir(), "--key", "whom")
	require.ErrorContains(t, err, "no column whom (there are: who, n)")
}

func TestVerifyNamesWhatDiffersAndWhoHasChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"a value":          {"UPDATE orders SET price = price + 0.01 ORDER BY id LIMIT 1", []string{"both have 3000 rows", "content checksum differs", "the table has changed since"}},
		"two swapped":      {"UPDATE orders SET city = IF(city = 'Nantes', '大阪', 'Nantes') WHERE city IS NOT NULL ORDER BY id LIMIT 2", []string{"content checksum differs"}},
		"NULL, not empty":  {"UPDATE orders SET city = '' WHERE city IS NULL ORDER BY id LIMIT 1", []string{"content checksum differs"}},
		"NULL, now zero":   {"UPDATE orders SET at = 0 WHERE at IS NULL ORDER BY id LIMIT 1", []string{"content checksum differs"}},
		"a row":            {"DELETE FROM orders ORDER BY id LIMIT 1", []string{"the table has 2999 rows, the published files 3000 rows"}},
		"a column's type":  {"ALTER TABLE orders MODIFY price DECIMAL(12,2) NOT NULL", []string{"altered", "column price was decimal(10,2), is decimal(12,2)"}},
		"a column's name":  {"ALTER TABLE orders CHANGE city town VARCHAR(20)", []string{"column city is gone; column town is new"}},
		"its NULLs":        {"ALTER TABLE orders MODIFY price DECIMAL(10,2)", []string{"column price was decimal(10,2), is decimal(10,2) null"}},
		"the table itself": {"DROP TABLE orders", []string{`has no table "orders"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := setupShop(t), t.TempDir()
			s.publish(t, "orders", dir)
			s.Exec(t, c.change)
			v, err := s.verify(t, "orders", dir)
			require.False(t, v.Equal)
			if strings.HasPrefix(c.change, "UPDATE") || strings.HasPrefix(c.change, "DELETE") { // both figures are shown
				require.EqualValues(t, 3000, v.Published.Rows)
				require.NotEqual(t, v.Published, v.Database)
			}
			for _, part := range c.want {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

// TestVerifyFindsAPublicationThatIsWrongButConsistent: files, marker and all their sums agree
// with each other, only not with the table.
func TestVerifyFindsAPublicationThatIsWrongButConsistent(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	s.publish(t, "orders", dir)
	store := lake.NewDirectory(dir)
	key := lake.CuratedMarker("orders", night)
	marker, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), store, key, lake.CuratedFormat)
	require.NoError(t, err)
	marker.Files[0], err = parquetwriter.WriteVerified(t.Context(), store, marker.Files[0].Key, marker.Columns, func(yield func(schema.Row, error) bool) {
		var rows []schema.Row
		for row, err := range laketable.Rows(t.Context(), store, marker.Files[0], marker.Columns) {
			require.NoError(t, err)
			rows = append(rows, row.Clone())
		}
		rows[1234][2].Int++ // one cent
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	require.NoError(t, err)
	marker.Checksum = marker.Files[0].Checksum
	_, err = lake.Publish(t.Context(), store, key, marker)
	require.NoError(t, err)

	_, err = s.verify(t, "orders", dir)
	require.ErrorContains(t, err, "both have 3000 rows, but the content checksum differs")
	require.ErrorContains(t, err, "the table is as it was extracted: the published files are wrong")

	s.Exec(t, "DELETE FROM orders ORDER BY id LIMIT 1")
	_, err = s.verify(t, "orders", dir)
	require.ErrorContains(t, err, "neither is what the server had")

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "raw")))
	v, err := s.verify(t, "orders", dir)
	require.Nil(t, v.Extracted)
	require.ErrorContains(t, err, "the table may have changed since the run")
}

func TestVerifyFindsDamagedFiles(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	s.publish(t, "orders", dir)
	flipBit(t, filepath.Join(dir, "curated/orders/dt=2026-11-22/part-00000.parquet"))
	_, err := s.verify(t, "orders", dir)
	require.ErrorIs(t, err, lake.ErrStale)
	require.ErrorContains(t, err, "_SUCCESS and partition the run again")
	require.NotContains(t, err.Error(), "\n", "one message")

	store, key := lake.NewDirectory(dir), lake.CuratedMarker("orders", night)
	marker, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), store, key, lake.CuratedFormat)
	require.NoError(t, err)
	marker.Files = nil
	_, err = lake.Publish(t.Context(), store, key, marker)
	require.NoError(t, err)
	_, err = s.verify(t, "orders", dir)
	require.ErrorContains(t, err, "they hold 0 rows, Σcrc 0, Σcrc² 0, their marker says 3000 rows")

	path := filepath.Join(dir, filepath.FromSlash(lake.RawMarker("orders", night)))
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	_, err = s.verify(t, "orders", dir)
	require.ErrorContains(t, err, "_MANIFEST.json", "the third witness was changed")
}

func TestZeroDatesAreRefusedOrVerifiedAsTheNullsTheyBecame(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	s.Exec(t, "CREATE TABLE days (id INT PRIMARY KEY, day DATE NOT NULL, seen DATE)",
		"INSERT INTO days VALUES (1, '0000-00-00', NULL), (2, '2026-01-02', '2026-02-00')")
	_, err := millrace(t, "extract", "--dsn", s.dsn, "--table", "days", "--run", night, "--out", dir)
	require.ErrorContains(t, err, "column day")
	require.Empty(t, laketest.Objects(t, lake.NewDirectory(dir)), "nothing is left of it")

	s.publish(t, "days", dir, "--zero-dates", "null")
	v, err := s.verify(t, "days", dir)
	require.NoError(t, err)
	require.True(t, v.Equal)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "raw")))
	_, err = s.verify(t, "days", dir)
	require.NoError(t, err, "also without the manifest that counts them")
}

func TestNoMessageShowsThePassword(t *testing.T) {
	s, dir := setupShop(t), t.TempDir()
	socket := s.Config().Addr
	for _, dsn := range []string{
		"root:hunter2@nowhere", "mysql://root:hunter2@localhost:3306/shop", "root:hunter2@unix(" + socket + ")/", "root:hunter2@unix(" + socket + ")/" + s.Name,
		"root:hunter2@tcp(127.0.0.1:1)/shop", "root:hunter2@tcp(127.0.0.1:1)/shop?tls=nonsense", "root:hunter2@tcp(127.0.0.1:1/shop", "root:hunter2",
	} {
		for _, args := range [][]string{{"extract", "--out", dir}, {"extract", "--out", dir, "--help"}} {
			t.Setenv(dsnVariable, dsn)
			out, err := millrace(t, append(args, "--table", "orders", "--run", night)...)
			require.NotContains(t, out, "hunter2")
			if len(args) == 3 {
				require.Error(t, err, dsn)
				require.NotContains(t, err.Error(), "hunter2")
			}
		}
		_, err := millrace(t, "verify", "--in", dir, "--table", "orders", "--run", night, "--dsn", dsn)
		require.NotContains(t, err.Error(), "hunter2")
	}
	t.Setenv(dsnVariable, s.dsn)
	_, err := millrace(t, "extract", "--out", dir, "--table", "orders", "--run", night)
	require.NoError(t, err, "the connection string may come from the environment")
}
