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
	server, err := mariadbtest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mariadb = server
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// open introspects a table in a snapshot that ends with the test.
func open(t *testing.T, db *mariadbtest.Database, table string, zeroDates mysqltable.ZeroDates) *mysqltable.Table {
	t.Helper()
	tab, err := tryOpen(t, db, table, zeroDates)
	require.NoError(t, err)
	return tab
}

func tryOpen(t *testing.T, db *mariadbtest.Database, table string, zeroDates mysqltable.ZeroDates) (*mysqltable.Table, error) {
	t.Helper()
	server, err := mysqltable.Open(db.Config())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	snapshot, err := server.Snapshot(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, snapshot.Close()) })
	require.True(t, snapshot.WithConsistentSnapshot)
	return snapshot.Table(context.Background(), table, zeroDates)
}

// readAll reads a table in chunks of this many rows, and checks each against the server's checksum.
func readAll(t *testing.T, table *mysqltable.Table, limit int) (rows []schema.Row, chunks int) {
	t.Helper()
	var from []string
	for {
		sum := checksum.New(table.Columns)
		next, err := table.Read(context.Background(), from, limit, func(row schema.Row) error {
			sum.Add(row)
			rows = append(rows, row.Clone())
			return nil
		})
		require.NoError(t, err)
		server, err := table.Checksum(context.Background(), from, next)
		require.NoError(t, err)
		require.Equal(t, server, sum.Sum(), "chunk from %q to %q", from, next)
		chunks++
		if from = next; next == nil {
			return rows, chunks
		}
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
