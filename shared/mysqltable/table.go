package mysqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// ZeroDates says what becomes of zero and partial-zero dates (0000-00-00, 2020-00-15, year 0).
type ZeroDates string

const (
	FailOnZeroDates ZeroDates = "fail"
	NullZeroDates   ZeroDates = "null" // NULL, and counted
)

// InvalidText says what becomes of text that is not valid UTF-8.
type InvalidText string

const (
	FailOnInvalidText InvalidText = "fail"
	NullInvalidText   InvalidText = "null" // NULL, and counted
)

// Options are what a table's reader decides; the zero value fails on everything that cannot be carried.
type Options struct {
	ZeroDates   ZeroDates
	InvalidText InvalidText
}

// Table is a table in a snapshot.
type Table struct {
	Name    string
	Columns []schema.Column
	// Key is what chunks are cut by: the primary key, else the shortest unique key without
	// NULLs, if its columns order the same way in WHERE and ORDER BY; else empty.
	Key           []string
	EstimatedRows int64 // the server's estimate, for progress only
	// Transactional is false where the storage engine keeps no snapshots (MyISAM, Aria), and
	// for views, which may read such tables.
	Transactional bool
	Engine        string

	snapshot   *Snapshot
	types      []declared
	decoders   []decoder
	options    Options
	key        []int            // positions of Key
	watermarks map[string]order // by the column they begin with
	zeroes     map[string]int64 // zero dates met so far, by column
	invalid    map[string]int64 // texts that are not UTF-8 met so far, by column
}

// transactional engines give every statement of a transaction the same rows.
var transactional = []string{"InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"}

// Table introspects the named table.
func (s *Snapshot) Table(ctx context.Context, name string, options Options) (*Table, error) {
	t := &Table{Name: name, snapshot: s, options: options, zeroes: map[string]int64{}, invalid: map[string]int64{}}
	if err := t.introspect(ctx); err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	return t, nil
}

func (t *Table) introspect(ctx context.Context) error {
	// Reading nothing from the table takes its metadata lock until the snapshot ends: what is
	// introspected next is what will be read, an ALTER TABLE waits. It also answers, with the
	// server's own error, whether there is such a table and whether we may read it.
	nothing, err := t.snapshot.conn.QueryContext(ctx, "SELECT 1 FROM "+quote(t.Name)+" LIMIT 0")
	if err == nil {
		err = errors.Join(nothing.Err(), nothing.Close())
	}
	if err != nil {
		return t.snapshot.server.explain(err, t.Name)
	}
	for _, step := range []func(context.Context) error{t.readColumns, t.readKey, t.readStatus} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if t.options.InvalidText == NullInvalidText {
		for i := range t.Columns {
			// A key that is NULL would be no key: invalid text in it fails.
			t.Columns[i].Nullable = t.Columns[i].Nullable || t.Columns[i].Kind == schema.String && !slices.Contains(t.key, i)
		}
	}
	return nil
}

func (t *Table) readColumns(ctx context.Context) error {
	rows, err := t.snapshot.conn.QueryContext(ctx, `SELECT column_name, column_type, is_nullable, character_set_name
		FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position`, t.Name)
	if err != nil {
		return t.snapshot.server.explain(err, t.Name)
	}
	defer rows.Close()
	var problems []error
	for rows.Next() {
		var name, columnType, nullable string
		var charset sql.NullString
		if err := rows.Scan(&name, &columnType, &nullable, &charset); err != nil {
			return fmt.Errorf("columns: %w", err)
		}
		c, err := Column(name, columnType, nullable == "YES")
		if err != nil {
			problems = append(problems, err)
			continue
		}
		c.Nullable = c.Nullable || t.options.ZeroDates == NullZeroDates && mayBeZero(c.Kind)
		d, _ := parseType(columnType) // Column has parsed it
		d.charset = charset.String
		t.Columns, t.types = append(t.Columns, c), append(t.types, d)
	}
	if err := errors.Join(append(problems, rows.Err())...); err != nil {
		return err
	}
	for i := range t.Columns {
		t.decoders = append(t.decoders, newDecoder(&t.Columns[i], t.types[i].base))
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("the server shows no columns to user %q: GRANT SELECT ON `%s`.`%s` TO the user", t.snapshot.server.user, t.snapshot.server.database, t.Name)
	}
	return nil
}

func (t *Table) readStatus(ctx context.Context) error {
	var engine sql.NullString
	var rows sql.NullInt64
	err := t.snapshot.conn.QueryRowContext(ctx, `SELECT engine, table_rows FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name = ?`, t.Name).Scan(&engine, &rows)
	if err != nil {
		return t.snapshot.server.explain(err, t.Name)
	}
	t.Engine, t.EstimatedRows = engine.String, rows.Int64
	t.Transactional = slices.ContainsFunc(transactional, func(e string) bool { return strings.EqualFold(e, t.Engine) })
	return nil
}

// ZeroDates counts, per column, the zero dates that Read turned into NULL.
func (t *Table) ZeroDates() map[string]int64 {
	if len(t.zeroes) == 0 {
		return nil
	}
	return t.zeroes
}

// InvalidText counts, per column, the texts that Read turned into NULL because they are not UTF-8.
func (t *Table) InvalidText() map[string]int64 {
	if len(t.invalid) == 0 {
		return nil
	}
	return t.invalid
}

func quote(identifier string) string {
	return "`" + strings.ReplaceAll(identifier, "`", "``") + "`"
}
