// Package vectorstore keeps model versions in PostgreSQL with pgvector: fresh tables for each version, one pointer
// to the active one, and what users did. Loading, activating and rolling back never show a reader half of anything.
package vectorstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxvector "github.com/pgvector/pgvector-go/pgx"
)

var (
	// ErrNoModel says that nothing can be served yet.
	ErrNoModel = errors.New("no model is active: none has been loaded into this database yet (run the batch, then look at the loader's log; or millrace load)")
	// ErrGone says that a version's tables were dropped after it was resolved: resolve the active version again.
	ErrGone = errors.New("the model version is no longer in the database")
)

const (
	// A Lambda serves one request at a time; the second connection is for the moment after a stale one.
	maxConnections = 2
	// Longer than any healthy handshake, shorter than an API's caller waits.
	connectTimeout = 5 * time.Second
)

// Store is a database with the schema millrace.
type Store struct{ pool *pgxpool.Pool }

// Open prepares connections; the first is made when one is needed. credentials is asked for each new one, so a
// rotated password or a moved database needs no restart; its result is a connection string.
func Open(ctx context.Context, credentials func(context.Context) (string, error)) (*Store, error) {
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	cfg.MaxConns = maxConnections
	// A connection that ended shows in what is asked of it, and try sees it. The pool's own look at one that was idle would hide it: the new
	// connection would be refused, as by a server that was never there.
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	// Unnamed statements: RDS Proxy would pin a connection to a session that has named ones.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	cfg.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		url, err := credentials(ctx)
		if err != nil {
			return err
		}
		now, err := pgconn.ParseConfig(url)
		if err != nil {
			return err
		}
		now.ConnectTimeout = connectTimeout
		now.RuntimeParams["application_name"] = "millrace"
		c.Config = *now
		return nil
	}
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		var present bool
		if err := c.QueryRow(ctx, `select to_regtype('vector') is not null`).Scan(&present); err != nil || !present {
			return err // without the extension there is no schema either, and whoever needs it says so
		}
		return pgxvector.RegisterTypes(ctx, c)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	return &Store{pool}, nil
}

// URL is a fixed connection string as credentials for Open.
func URL(url string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return url, nil }
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// inTransaction runs work in a READ COMMITTED transaction: all of it happens, or nothing.
func (s *Store) inTransaction(ctx context.Context, work func(pgx.Tx) error) error {
	tx, err := tried(ctx, s, func() (pgx.Tx, error) { return s.pool.Begin(ctx) })
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) // after the commit it does nothing
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	undefinedTable        = "42P01"
	invalidSchemaName     = "3F000"
	insufficientPrivilege = "42501"
	invalidPassword       = "28P01"
	invalidAuthorization  = "28000"
	serverShutdown        = "57P0" // shutdown, crash, starting up
	uniqueViolation       = "23505"
	dataException         = "22" // classes
	integrityViolation    = "23"
	connectionException   = "08"
)

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func tableMissing(err error) bool {
	code := sqlState(err)
	return code == undefinedTable || code == invalidSchemaName
}

// explain says what was being done.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	if sqlState(err) == insufficientPrivilege {
		err = fmt.Errorf("%w: %w", err, ErrPrivilege)
	}
	return fmt.Errorf("PostgreSQL: %s: %w", what, err)
}

func items(n int64) pgx.Identifier { return pgx.Identifier{"millrace", fmt.Sprintf("item_v%d", n)} }
func users(n int64) pgx.Identifier { return pgx.Identifier{"millrace", fmt.Sprintf("user_v%d", n)} }
func cooccurrences(n int64) pgx.Identifier {
	return pgx.Identifier{"millrace", fmt.Sprintf("cooccurrence_v%d", n)}
}
