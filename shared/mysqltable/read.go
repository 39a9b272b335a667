package mysqltable

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// Read visits up to limit rows with key ≥ from (nil: from the beginning) in key order, and
// returns the key of the row after them: the next chunk begins there; nil at the table's end.
// A table without a key is read whole, whatever the limit. The row is valid during the visit.
func (t *Table) Read(ctx context.Context, from []string, limit int, visit func(schema.Row) error) (next []string, err error) {
	where, err := t.between(from, nil)
	if err != nil {
		return nil, err
	}
	query := "SELECT " + quoteAll(schema.Names(t.Columns)) + " FROM " + quote(t.Name) + where.sql
	if t.Key != nil {
		// One more row than wanted: its key is where the next chunk begins.
		query += fmt.Sprintf(" ORDER BY %s LIMIT %d", quoteAll(t.Key), limit+1)
	}
	row := make(schema.Row, len(t.Columns))
	n := 0
	err = t.stream(ctx, query, where.args, func(values []driver.Value) error {
		if err := t.decode(row, values); err != nil {
			return err
		}
		if t.Key != nil && n == limit {
			next = t.keyOf(row)
			return nil
		}
		n++
		return visit(row)
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return next, nil
}

// stream runs a prepared statement on the snapshot's connection and visits its rows as the
// driver decodes them, without database/sql's copies. Memory: one row.
func (t *Table) stream(ctx context.Context, query string, args []any, visit func([]driver.Value) error) error {
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	// A failure in the middle drops the connection rather than reading the rest of the rows.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return t.snapshot.conn.Raw(func(conn any) error {
		statement, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		if err != nil {
			return t.snapshot.server.explain(err, t.Name)
		}
		defer statement.Close()
		rows, err := statement.(driver.StmtQueryContext).QueryContext(ctx, named)
		if err != nil {
			return t.snapshot.server.explain(err, t.Name)
		}
		defer rows.Close()
		defer cancel() // runs before rows.Close
		values := make([]driver.Value, len(rows.Columns()))
		for {
			if err := rows.Next(values); errors.Is(err, io.EOF) {
				return errors.Join(rows.Close(), statement.Close())
			} else if err != nil {
				return t.snapshot.server.explain(err, t.Name)
			}
			if err := visit(values); err != nil {
				return err
			}
		}
	})
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}
