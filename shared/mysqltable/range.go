package mysqltable

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// A place in a table's order is written as the text of its columns (bytes as hexadecimal), so
// that a manifest or a checkpoint can hold it and a later invocation can go on from it.

// Range is a part of a table.
type Range struct {
	// From ≤ place < To in the order of Table.ChunkKey; nil: open.
	From, To  []string
	Watermark *WatermarkBounds // nil: all rows
}

// WatermarkBounds select Low ≤ column ≤ High, both in canonical text (schema.AppendText); a nil
// Low is open. Rows with NULL in the column are in no range.
type WatermarkBounds struct {
	Column string
	Low    *string
	High   string
}

// order is what a range's rows are ordered and cut by.
type order struct {
	columns []int  // positions; none if the table has no key
	index   string // that has this order; "" leaves the choice to the server
}

// ChunkKey names the columns by which a range is ordered and cut, those of From, To and Read's
// answer: the watermark column and then the key if there is a low bound and an index with that
// order, else the key.
func (t *Table) ChunkKey(r Range) []string { return t.names(t.order(r).columns) }

func (t *Table) order(r Range) order {
	// Without a low bound most of the table is read: along its key, where the rows themselves lie.
	if r.Watermark != nil && r.Watermark.Low != nil {
		if o, ok := t.watermarks[r.Watermark.Column]; ok {
			return o
		}
	}
	return order{columns: t.key}
}

func (t *Table) names(columns []int) []string {
	names := make([]string, len(columns))
	for i, at := range columns {
		names[i] = t.Columns[at].Name
	}
	return names
}

func (t *Table) place(columns []int, row schema.Row) []string {
	place := make([]string, len(columns))
	for i, at := range columns {
		if t.Columns[at].Kind == schema.Bytes {
			place[i] = hex.EncodeToString(row[at].Bytes)
		} else {
			place[i] = string(schema.AppendText(nil, t.Columns[at], row[at]))
		}
	}
	return place
}

// source is the FROM and WHERE of a range's rows, with the arguments.
func (t *Table) source(r Range) (sql string, args []any, err error) {
	o := t.order(r)
	sql = " FROM " + quote(t.Name)
	if o.index != "" {
		// The server's own choice depends on its statistics, and may be to read and sort everything for each chunk.
		sql += " FORCE INDEX (" + quote(o.index) + ")"
	}
	var conditions []string
	add := func(condition string, more []any, failed error) {
		conditions, args, err = append(conditions, condition), append(args, more...), errors.Join(err, failed)
	}
	if r.From != nil {
		add(t.compare(o.columns, r.From, ">", ">="))
	}
	if r.To != nil {
		add(t.compare(o.columns, r.To, "<", "<"))
	}
	if w := r.Watermark; w != nil {
		at, missing := schema.Positions(t.Columns, []string{w.Column})
		if missing != nil {
			return "", nil, fmt.Errorf("table %s: watermark: %w", t.Name, missing)
		}
		if w.Low != nil {
			add(t.compare(at, []string{*w.Low}, ">", ">="))
		}
		add(t.compare(at, []string{w.High}, "<", "<="))
	}
	if conditions != nil {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	if err != nil {
		return "", nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return sql, args, nil
}

// compare writes (a, b) >= (x, y) as (a > x OR (a = x AND b >= y)): MySQL uses the index for
// this form, not for the row constructor
// (https://dev.mysql.com/doc/refman/8.4/en/range-optimization.html#row-constructor-range-optimization).
func (t *Table) compare(columns []int, place []string, compare, last string) (string, []any, error) {
	if len(place) != len(columns) {
		return "", nil, fmt.Errorf("place %q has %d values, want those of %q", place, len(place), t.names(columns))
	}
	var alternatives []string
	var args []any
	for i := range place {
		var all []string
		for j := range i + 1 {
			operator := "="
			switch {
			case j == len(place)-1:
				operator = last
			case j == i:
				operator = compare
			}
			placeholder, arg, err := t.argument(columns[j], place[j])
			if err != nil {
				return "", nil, fmt.Errorf("place %q: %w", place, err)
			}
			all = append(all, quote(t.Columns[columns[j]].Name)+" "+operator+" "+placeholder)
			args = append(args, arg)
		}
		alternatives = append(alternatives, "("+strings.Join(all, " AND ")+")")
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", args, nil
}

// argument sends a place's text back so that the server compares it exactly: MySQL would compare
// a DECIMAL with a string as doubles, and take a binary string for broken UTF-8.
func (t *Table) argument(column int, text string) (placeholder string, arg any, err error) {
	switch c := t.Columns[column]; c.Kind {
	case schema.Int:
		arg, err = strconv.ParseInt(text, 10, 64)
		return "?", arg, err
	case schema.Uint:
		arg, err = strconv.ParseUint(text, 10, 64)
		return "?", arg, err
	case schema.Decimal:
		return fmt.Sprintf("CAST(? AS DECIMAL(%d,%d))", c.Precision, c.Scale), text, nil
	case schema.Bytes:
		return "UNHEX(?)", text, nil
	}
	return "?", text, nil
}
