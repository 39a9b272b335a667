package seed

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Result says what Load did with one table.
type Result struct {
	Table   string
	Rows    int
	Created bool // false: the table was there already, and was not touched
}

// Load creates and fills those of the shop's tables that the database does not have. A table that exists is never touched,
// whatever is in it. Each table is filled under another name and renamed when complete, so that an interrupted seed is not
// taken for a finished one.
func Load(ctx context.Context, db *sql.DB, shop string) ([]Result, error) {
	tables, schema, err := shopTables(shop)
	if err != nil {
		return nil, err
	}
	definitions, err := tableDefinitions(schema)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, t := range tables {
		var rows int
		err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?`, t.Name).Scan(&rows)
		if err != nil {
			return nil, fmt.Errorf("seed: table %s: is it there: %w", t.Name, err)
		}
		if rows > 0 {
			if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+t.Name).Scan(&rows); err != nil {
				return nil, fmt.Errorf("seed: table %s: count: %w", t.Name, err)
			}
			results = append(results, Result{Table: t.Name, Rows: rows})
			continue
		}
		if err := create(ctx, db, t, definitions[t.Name]); err != nil {
			return nil, err
		}
		results = append(results, Result{Table: t.Name, Rows: len(t.Rows), Created: true})
	}
	return results, nil
}

func create(ctx context.Context, db *sql.DB, t Table, definition string) error {
	unfinished := "millrace_seeding_" + t.Name
	for _, statement := range []string{
		"DROP TABLE IF EXISTS " + unfinished,
		"CREATE TABLE " + unfinished + " " + definition,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("seed: table %s: %w (does the account have CREATE, DROP, ALTER, INSERT and SELECT?)", t.Name, err)
		}
	}
	// 500 rows of 8 columns stay far below the 65,535 placeholders of a prepared statement.
	const batch = 500
	for start := 0; start < len(t.Rows); start += batch {
		rows := t.Rows[start:min(start+batch, len(t.Rows))]
		if err := write(ctx, db, "INSERT", unfinished, t.Columns, rows); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, "RENAME TABLE "+unfinished+" TO "+t.Name); err != nil {
		return fmt.Errorf("seed: table %s: rename: %w", t.Name, err)
	}
	return nil
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// write sends rows in one statement; verb is INSERT or REPLACE.
func write(ctx context.Context, db execer, verb, table string, columns []string, rows [][]any) error {
	placeholders := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + ")"
	statement := verb + " INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(placeholders+",", len(rows)), ",")
	var args []any
	for _, row := range rows {
		args = append(args, row...)
	}
	if _, err := db.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("seed: table %s: %s of %d rows: %w", table, strings.ToLower(verb), len(rows), err)
	}
	return nil
}

// tableDefinitions reads a file of definitions: what stands after CREATE TABLE <name>.
func tableDefinitions(file string) (map[string]string, error) {
	schema, err := files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("seed: %s: %w", file, err)
	}
	definitions := map[string]string{}
	for statement := range strings.SplitSeq(string(schema), ";") {
		statement = strings.TrimSpace(statement)
		if rest, ok := strings.CutPrefix(statement, "CREATE TABLE "); ok {
			name, definition, _ := strings.Cut(rest, " ")
			definitions[name] = definition
		}
	}
	return definitions, nil
}
