package mysqltable_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
	"github.com/millrace/millrace/shared/schema"
)

// mariadb is one server for all tests of the package, each with a database of its own; nil if
// MariaDB is not installed.
var mariadb *mariadbtest.Server

func TestMain(m *testing.M) {
	if dsn := os.Getenv(largeTable); dsn != "" {
		if err := readLarge(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	mariadbtest.Main(m, &mariadb)
}

// open introspects a table in a snapshot that ends with the test.
func open(t *testing.T, db *mariadbtest.Database, table string, options mysqltable.Options) *mysqltable.Table {
	t.Helper()
	tab, err := tryOpen(t, db, table, options)
	require.NoError(t, err)
	return tab
}

func tryOpen(t *testing.T, db *mariadbtest.Database, table string, options mysqltable.Options) (*mysqltable.Table, error) {
	t.Helper()
	server, err := mysqltable.Open(db.Config())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	snapshot, err := server.Snapshot(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, snapshot.Close()) })
	require.True(t, snapshot.WithConsistentSnapshot)
	return snapshot.Table(context.Background(), table, options)
}

// strict fails on whatever cannot be carried.
var strict mysqltable.Options

// readAll reads a table in chunks of this many rows, and checks each row and each chunk against the server's figures.
func readAll(t *testing.T, table *mysqltable.Table, limit int) (rows []schema.Row, chunks int) {
	t.Helper()
	return readRange(t, table, mysqltable.Range{}, limit)
}

func readRange(t *testing.T, table *mysqltable.Table, r mysqltable.Range, limit int) (rows []schema.Row, chunks int) {
	t.Helper()
	for ; ; chunks++ {
		sum := checksum.New(table.Columns)
		next, err := table.Read(context.Background(), r, limit, func(row schema.Row, crc uint32) error {
			require.Equal(t, crc, sum.Add(row), table.RowName(row))
			rows = append(rows, row.Clone())
			return nil
		})
		require.NoError(t, err)
		chunk := r
		if next != nil {
			chunk.To = next
		}
		server, err := table.Checksum(context.Background(), chunk)
		require.NoError(t, err)
		require.Equal(t, server, sum.Sum(), "chunk from %q to %q", chunk.From, chunk.To)
		count, err := table.Count(context.Background(), chunk)
		require.NoError(t, err)
		require.Equal(t, sum.Sum().Rows, count)
		if next == nil {
			return rows, chunks + 1
		}
		r.From = next
	}
}

// texts shows rows as people would write them; NULL is "NULL".
func texts(cols []schema.Column, rows []schema.Row) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		for j, v := range row {
			text := "NULL"
			if !v.Null {
				text = string(schema.AppendText(nil, cols[j], v))
			}
			out[i] = append(out[i], text)
		}
	}
	return out
}
