package mysqltable

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/schema"
)

// index is one that can order a table's rows.
type index struct {
	name     string
	columns  []string
	unique   bool
	nullable bool
	usable   bool
}

const primary = "PRIMARY"

func (t *Table) readKey(ctx context.Context) error {
	indexes, err := t.readIndexes(ctx)
	if err != nil {
		return err
	}
	keys := slices.DeleteFunc(slices.Clone(indexes), func(k index) bool { return !k.unique || k.nullable })
	if len(keys) == 0 {
		return nil
	}
	key := slices.MinFunc(keys, func(a, b index) int {
		switch {
		case a.name == primary:
			return -1
		case b.name == primary:
			return 1
		}
		return len(a.columns) - len(b.columns)
	})
	t.Key = key.columns
	if t.key, err = schema.Positions(t.Columns, t.Key); err != nil {
		return err
	}
	return t.findWatermarks(indexes, key.name == primary)
}

// findWatermarks finds the indexes that order rows by a column and then by the key. InnoDB ends
// every index with the primary key's columns, so that one on the column alone does
// (https://dev.mysql.com/doc/refman/8.4/en/index-extensions.html).
func (t *Table) findWatermarks(indexes []index, keyIsPrimary bool) error {
	t.watermarks = map[string]order{}
	for _, i := range indexes {
		leading := i.columns[0]
		want := append([]string{leading}, slices.DeleteFunc(slices.Clone(t.Key), func(c string) bool { return c == leading })...)
		given := min(len(i.columns), len(want))
		if !slices.Equal(i.columns[:given], want[:given]) || given < len(want) && !keyIsPrimary {
			continue
		}
		columns, err := schema.Positions(t.Columns, want)
		if err != nil {
			return err
		}
		t.watermarks[leading] = order{columns, i.name}
	}
	return nil
}

// readIndexes lists the indexes whose order is that of WHERE.
func (t *Table) readIndexes(ctx context.Context) ([]index, error) {
	rows, err := t.snapshot.conn.QueryContext(ctx, `SELECT index_name, column_name, sub_part, nullable, index_type, non_unique
		FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ?
		ORDER BY index_name, seq_in_index`, t.Name)
	if err != nil {
		return nil, t.snapshot.server.explain(err, t.Name)
	}
	defer rows.Close()
	var indexes []index
	for rows.Next() {
		var name, nullable, indexType string
		var column sql.NullString // NULL for an indexed expression
		var prefix sql.NullInt64
		var repeats bool
		if err := rows.Scan(&name, &column, &prefix, &nullable, &indexType, &repeats); err != nil {
			return nil, fmt.Errorf("indexes: %w", err)
		}
		if len(indexes) == 0 || indexes[len(indexes)-1].name != name {
			indexes = append(indexes, index{name: name, unique: !repeats, usable: true})
		}
		i := &indexes[len(indexes)-1]
		i.columns = append(i.columns, column.String)
		i.nullable = i.nullable || nullable == "YES"
		i.usable = i.usable && column.Valid && !prefix.Valid && indexType == "BTREE" && t.comparable(column.String)
	}
	if err := rows.Err(); err != nil {
		return nil, t.snapshot.server.explain(err, t.Name)
	}
	return slices.DeleteFunc(indexes, func(i index) bool { return !i.usable }), nil
}

// comparable tells whether a value of the column, sent back to the server, compares as the
// index orders. ENUM and SET order by number but compare as text, floats do not compare
// exactly, and a zero date that became NULL cannot be sent back.
func (t *Table) comparable(column string) bool {
	i := schema.Index(t.Columns, column)
	if i < 0 {
		return false
	}
	switch c := t.Columns[i]; c.Kind {
	case schema.Int, schema.Decimal, schema.Bytes:
		return true
	case schema.Uint:
		return t.types[i].base != "bit"
	case schema.String:
		return t.types[i].base != "enum" && t.types[i].base != "set" && t.types[i].base != "json"
	case schema.Date, schema.Datetime, schema.Timestamp:
		return t.options.ZeroDates != NullZeroDates
	}
	return false
}
