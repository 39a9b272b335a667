package vectorstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgvector/pgvector-go"
)

const (
	entityDefinition = `id text not null, name text not null, embedding vector(%d) not null,
		bias real not null, cold boolean not null, features jsonb not null`
	// ordinal is the item's position, by which users and co-occurrences name it.
	itemDefinition = entityDefinition + `, ordinal int not null unique`
	userDefinition = entityDefinition + `, bought int[] not null`
)

func entityValues(e Entity) []any {
	if e.Features == nil {
		e.Features = map[string]string{}
	}
	return []any{e.ID, e.Name, pgvector.NewVector(e.Embedding), e.Bias, e.Cold, e.Features}
}

// itemValues numbers the items as they come.
func itemValues() func(Entity) []any {
	next := int32(0)
	return func(e Entity) []any {
		next++
		return append(entityValues(e), next-1)
	}
}

func userValues(e Entity) []any {
	if e.Bought == nil {
		e.Bought = []int32{}
	}
	return append(entityValues(e), e.Bought)
}

// fill makes a table of entities. The key is built afterwards, which is faster and checks uniqueness.
func fill(ctx context.Context, tx pgx.Tx, table pgx.Identifier, definition string, entities iter.Seq2[Entity, error], values func(Entity) []any, count int64, more ...string) error {
	rows, err := create(ctx, tx, table, definition, entities, values, append([]string{"id", "name", "embedding", "bias", "cold", "features"}, more...)...)
	if err != nil {
		return err
	}
	if rows != count {
		return &Defect{fmt.Errorf("%d rows, the manifest says %d", rows, count)}
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(`alter table %s add primary key (id)`, table.Sanitize())); err != nil {
		return asDefect(err)
	}
	_, err = tx.Exec(ctx, `analyze `+table.Sanitize())
	return err
}

// create makes a table and copies rows into it in PostgreSQL's binary form.
func create[T any](ctx context.Context, tx pgx.Tx, table pgx.Identifier, definition string, source iter.Seq2[T, error], values func(T) []any, columns ...string) (int64, error) {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`create table %s (%s)`, table.Sanitize(), definition)); err != nil {
		return 0, err
	}
	next, stop := iter.Pull2(source)
	defer stop()
	var sourceErr error
	rows, err := tx.CopyFrom(ctx, table, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, err, more := next()
		if !more {
			return nil, nil
		}
		if err != nil {
			sourceErr = err
			return nil, sourceErr
		}
		return values(row), nil
	}))
	if sourceErr != nil {
		return 0, sourceErr
	}
	return rows, asDefect(err)
}

// asDefect tells data that PostgreSQL refuses (a NUL in a text, an id twice, NaN) from trouble with PostgreSQL.
func asDefect(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Code, dataException) && !strings.HasPrefix(refused.Code, integrityViolation) {
		return err
	}
	if refused.Detail != "" { // which id it is
		err = fmt.Errorf("%w: %s", err, refused.Detail)
	}
	return &Defect{err}
}
