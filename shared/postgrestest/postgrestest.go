// Package postgrestest gives each test a fresh database of a real PostgreSQL.
package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Database makes an empty database on the server that POSTGRES_URL names (a superuser's connection string) and returns
// its connection string; it is dropped when the test ends. Without POSTGRES_URL the test is skipped.
func Database(t testing.TB) string {
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("POSTGRES_URL is not set: needs a PostgreSQL with pgvector (make test starts one)")
	}
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	Exec(t, server, "create database "+name)
	t.Cleanup(func() { Exec(t, server, fmt.Sprintf("drop database %s with (force)", name)) })
	at, err := url.Parse(server)
	require.NoError(t, err, "POSTGRES_URL")
	at.Path = "/" + name
	return at.String()
}

// Exec runs SQL on a connection of its own.
func Exec(t testing.TB, url, sql string) {
	// Not the test's context, which has ended when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
}
