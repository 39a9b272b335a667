package mysqltable

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// Read visits up to limit rows of a range in its order, with the CRC32 that the server computed
// of the row in the same query, and returns the place of the row after them: the next chunk
// begins there; nil at the range's end. A table without a key is read whole, whatever the limit.
// The row is valid during the visit.
func (t *Table) Read(ctx context.Context, r Range, limit int, visit func(row schema.Row, crc uint32) error) (next []string, err error) {
	source, args, err := t.source(r)
	if err != nil {
		return nil, err
	}
	largest := largestRow()
	query := "SELECT " + t.selectList(largest) + source
	by := t.order(r).columns
	if by != nil {
		// One more row than wanted: its place is where the next chunk begins.
		query += fmt.Sprintf(" ORDER BY %s LIMIT %d", quoteAll(t.names(by)), limit+1)
	}
	row := make(schema.Row, len(t.Columns))
	var crc, size schema.Value
	n := 0
	err = t.stream(ctx, query, args, func(values []driver.Value) (err error) {
		if by != nil && n == limit {
			if next != nil { // else it would push a row out of the chunk, which neither its CRCs nor a count would show
				return fmt.Errorf("more than the %d rows asked for arrived: a row was doubled on the way", limit+1)
			}
			next, err = t.decodePlace(row, by, func(at int) driver.Value { return values[at] })
			return err
		}
		n++
		invalid, err := t.decode(row, values[:len(row)])
		if err != nil {
			return err
		}
		if sized := values[len(row)+1:]; len(sized) > 0 {
			if err := decodeInt(&size, sized[0]); err != nil {
				return err
			}
		}
		if size.Int > largest {
			return fmt.Errorf("%s has %d bytes of text and bytes, more than the %d that fit into memory: raise GOMEMLIMIT to 16 times the row, and the memory of the function, or name a view in the dataset that leaves the column out",
				t.RowName(row), size.Int, largest)
		}
		if err := decodeUint(&crc, values[len(row)]); err != nil {
			return fmt.Errorf("%s is longer than the server's max_allowed_packet, so that the server cannot compute its checksum: raise it above the longest row", t.RowName(row))
		}
		if invalid != nil {
			return visit(row, t.nullInvalid(row, invalid, uint32(crc.Int)))
		}
		return visit(row, uint32(crc.Int))
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return next, nil
}

// KeyAt is the place of the row that follows the first offset rows of a range, or nil if there are
// no more: where to cut a table into ranges. The server finds it by the index alone.
func (t *Table) KeyAt(ctx context.Context, r Range, offset int64) (place []string, err error) {
	source, args, err := t.source(r)
	if err != nil {
		return nil, err
	}
	by := t.order(r).columns
	if by == nil {
		return nil, fmt.Errorf("table %s: without a key there is nothing to cut it by", t.Name)
	}
	columns := quoteAll(t.names(by))
	query := fmt.Sprintf("SELECT %s%s ORDER BY %s LIMIT 1 OFFSET %d", columns, source, columns, offset)
	row := make(schema.Row, len(t.Columns))
	err = t.stream(ctx, query, args, func(values []driver.Value) (err error) {
		place, err = t.decodePlace(row, by, func(at int) driver.Value { return values[slices.Index(by, at)] })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return place, nil
}

// decodePlace decodes a place's columns alone: its row belongs to the next chunk.
func (t *Table) decodePlace(row schema.Row, by []int, value func(column int) driver.Value) ([]string, error) {
	for _, at := range by {
		if err := t.decodeColumn(&row[at], at, value(at)); err != nil {
			return nil, fmt.Errorf("column %s: %w", t.Columns[at].Name, err)
		}
	}
	return t.place(by, row), nil
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
