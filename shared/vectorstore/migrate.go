package vectorstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrPgvector says that the database has no pgvector, or one that must not be used.
var ErrPgvector = errors.New("pgvector 0.8.4 or newer is needed")

// Older versions can lose entries of an HNSW index on vacuum (pgvector's CHANGELOG, 0.8.3 and 0.8.4).
var leastPgvector = [3]int{0, 8, 4}

// Keys of PostgreSQL's advisory locks: one migration at a time, one load at a time.
const (
	migrationLock = 0x6d696c6c_00000001 // "mill"
	loadLock      = 0x6d696c6c_00000002
)

// Migrate creates or upgrades the schema and checks pgvector. It may run any number of times, also at once.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		if err := ensurePgvector(ctx, tx); err != nil {
			return err
		}
		if err := ensurePrewarm(ctx, tx); err != nil {
			return err
		}
		if err := applyMigrations(ctx, tx); err != nil {
			return err
		}
		return grantServing(ctx, tx)
	})
	if err != nil {
		return explain("prepare schema millrace", err)
	}
	s.pool.Reset() // connections made before the extension do not know its types
	return nil
}

func applyMigrations(ctx context.Context, tx pgx.Tx) error {
	const bookkeeping = `create schema if not exists millrace;
		create table if not exists millrace.schema_migration (number int primary key, name text not null, applied_at timestamptz not null default now())`
	if _, err := tx.Conn().PgConn().Exec(ctx, bookkeeping).ReadAll(); err != nil {
		return err
	}
	var done int
	if err := tx.QueryRow(ctx, `select coalesce(max(number), 0) from millrace.schema_migration`).Scan(&done); err != nil {
		return err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // in order of their numbers: names begin with four digits
	if err != nil {
		return err
	}
	if done > len(files) {
		return fmt.Errorf("the database has migration %d, this build knows %d: a newer millrace has been here; deploy that one", done, len(files))
	}
	for n, file := range files[done:] {
		sql, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().Exec(ctx, string(sql)).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := tx.Exec(ctx, `insert into millrace.schema_migration (number, name) values ($1, $2)`, done+n+1, file); err != nil {
			return err
		}
	}
	return nil
}

func ensurePgvector(ctx context.Context, tx pgx.Tx) error {
	var database, server, available, installed string
	err := tx.QueryRow(ctx, `select current_database(), current_setting('server_version'), coalesce(max(default_version), ''), coalesce(max(installed_version), '')
		from pg_available_extensions where name = 'vector'`).Scan(&database, &server, &available, &installed)
	if err != nil {
		return err
	}
	if err := checkPgvector(database, server, available, installed); err != nil || installed != "" {
		return err
	}
	_, err = tx.Exec(ctx, `create extension if not exists vector`)
	if sqlState(err) == insufficientPrivilege {
		return fmt.Errorf("%w: this user may not create it: let an administrator run CREATE EXTENSION vector; in database %s", ErrPgvector, database)
	}
	return err
}

// checkPgvector decides from the version the server offers and the one the database has; "" is none.
func checkPgvector(database, server, available, installed string) error {
	upgrade := fmt.Sprintf("install it on the server (Debian: postgresql-%.2s-pgvector; RDS and Aurora: an engine version that brings it)", server)
	switch {
	case available == "" && installed == "":
		return fmt.Errorf("%w: the server has none: %s", ErrPgvector, upgrade)
	case installed != "" && recent(installed):
		return nil
	case installed != "" && recent(available):
		return fmt.Errorf("%w: database %s has %s: run ALTER EXTENSION vector UPDATE; in it", ErrPgvector, database, installed)
	case !recent(available):
		return fmt.Errorf("%w: the server has %s: %s", ErrPgvector, available, upgrade)
	}
	return nil
}

// recent compares versions such as "0.8.6" by number.
func recent(version string) bool {
	for n, part := range strings.SplitN(version, ".", len(leastPgvector)) {
		if number, err := strconv.Atoi(part); err != nil || number != leastPgvector[n] {
			return err == nil && number > leastPgvector[n]
		}
	}
	return strings.Count(version, ".") >= len(leastPgvector)-1
}
