package vectorstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ensurePrewarm installs PostgreSQL's own extension pg_prewarm where the server has it and this user may; prewarm does without.
func ensurePrewarm(ctx context.Context, tx pgx.Tx) error {
	var wanted bool
	err := tx.QueryRow(ctx, `select exists (select from pg_available_extensions where name = 'pg_prewarm' and installed_version is null)`).Scan(&wanted)
	if err != nil || !wanted {
		return err
	}
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint: a refusal does not end the transaction
		_, err := tx.Exec(ctx, `create extension if not exists pg_prewarm`)
		return err
	})
	if sqlState(err) == insufficientPrivilege {
		return nil
	}
	return err
}

// prewarm brings the tables of a version, with their indexes, into memory before the first reader does: into PostgreSQL's buffers as long as
// they take at most half of those, else into the operating system's. It returns what it did, for people.
func prewarm(ctx context.Context, tx pgx.Tx, tables ...pgx.Identifier) (string, error) {
	var available bool
	var size, buffers int64
	names := make([]string, len(tables))
	for n, table := range tables {
		names[n] = table.Sanitize()
	}
	err := tx.QueryRow(ctx, `select to_regprocedure('pg_prewarm(regclass,text,text,bigint,bigint)') is not null, sum(pg_total_relation_size(name::regclass))::bigint,
		pg_size_bytes(current_setting('shared_buffers')) from unnest($1::text[]) name`, names).Scan(&available, &size, &buffers)
	if err != nil {
		return "", err
	}
	how := "by reading"
	if available {
		mode := "buffer"
		if size > buffers/2 {
			mode = "read"
		}
		how = "by pg_prewarm, mode " + mode
		_, err = tx.Exec(ctx, `select sum(pg_prewarm(part::regclass, $2)) from (
			select name::regclass::oid part from unnest($1::text[]) name
			union all select indexrelid from pg_index where indrelid = any($1::text[]::regclass[])
			union all select reltoastrelid from pg_class where oid = any($1::text[]::regclass[]) and reltoastrelid <> 0) parts`, names, mode)
	} else {
		for _, name := range names { // its indexes have just been written or walked through
			_, failed := tx.Exec(ctx, `select sum(vector_norm(embedding)) from `+name)
			err = errors.Join(err, failed)
		}
	}
	return fmt.Sprintf("%.1f MB %s", float64(size)/1e6, how), err
}
