package mysqltable

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// A key is written as the text of its columns (bytes as hexadecimal), so that a manifest or a
// checkpoint can hold it and a later invocation can go on from it.

func (t *Table) keyOf(row schema.Row) []string {
	key := make([]string, len(t.key))
	for i, at := range t.key {
		if t.Columns[at].Kind == schema.Bytes {
			key[i] = hex.EncodeToString(row[at].Bytes)
		} else {
			key[i] = string(schema.AppendText(nil, t.Columns[at], row[at]))
		}
	}
	return key
}

// condition is a part of a WHERE clause with its arguments.
type condition struct {
	sql  string
	args []any
}

// between selects from ≤ key < to; a nil bound is open.
func (t *Table) between(from, to []string) (condition, error) {
	var parts []string
	var c condition
	for _, bound := range []struct {
		key           []string
		compare, last string
	}{{from, ">", ">="}, {to, "<", "<"}} {
		if bound.key == nil {
			continue
		}
		if len(bound.key) != len(t.key) {
			return c, fmt.Errorf("table %s: key %q has %d columns, want %d", t.Name, bound.key, len(bound.key), len(t.key))
		}
		sql, args, err := t.compare(bound.key, bound.compare, bound.last)
		if err != nil {
			return c, err
		}
		parts, c.args = append(parts, sql), append(c.args, args...)
	}
	if parts != nil {
		c.sql = " WHERE " + strings.Join(parts, " AND ")
	}
	return c, nil
}

// compare writes (a, b) >= (x, y) as (a > x OR (a = x AND b >= y)): MySQL uses the index for
// this form, not for the row constructor
// (https://dev.mysql.com/doc/refman/8.4/en/range-optimization.html#row-constructor-range-optimization).
func (t *Table) compare(key []string, compare, last string) (string, []any, error) {
	var alternatives []string
	var args []any
	for i := range key {
		var all []string
		for j := range i + 1 {
			operator := "="
			switch {
			case j == len(key)-1:
				operator = last
			case j == i:
				operator = compare
			}
			placeholder, arg, err := t.argument(t.key[j], key[j])
			if err != nil {
				return "", nil, err
			}
			all = append(all, quote(t.Key[j])+" "+operator+" "+placeholder)
			args = append(args, arg)
		}
		alternatives = append(alternatives, "("+strings.Join(all, " AND ")+")")
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", args, nil
}

// argument sends a key's text back so that the server compares it exactly: MySQL would compare
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
