// Package mysqltable reads one table of a MySQL or MariaDB server exactly: its columns as the
// server declares them, its rows in chunks cut by key, and the server's own checksum of every
// chunk, all in one snapshot.
package mysqltable

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// dialTimeout is short because a security group that does not admit us answers nothing at all.
const dialTimeout = 10 * time.Second

// Server is a database on a MySQL server.
type Server struct {
	db                      *sql.DB
	address, user, database string
}

// ParseDSN reads a connection string user:password@tcp(host:port)/database. Its error never
// shows the string, which holds a password.
func ParseDSN(dsn string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("the MySQL connection string is not of the form user:password@tcp(host:port)/database (a / in front of the database is needed, a password may contain anything)")
	}
	return cfg, nil
}

// Open prepares connections to the configured database; the first snapshot makes one.
func Open(cfg *mysql.Config) (*Server, error) {
	if cfg.DBName == "" {
		return nil, fmt.Errorf("MySQL at %s: no database is named: add dbname to the secret, or /database to the connection string", cfg.Addr)
	}
	cfg = cfg.Clone()
	cfg.ParseTime = false         // a time.Time cannot hold 0000-00-00
	cfg.InterpolateParams = false // statements are prepared: only the binary protocol carries FLOAT exactly
	if cfg.Timeout == 0 {
		cfg.Timeout = dialTimeout
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	return &Server{db: sql.OpenDB(connector), address: cfg.Addr, user: cfg.User, database: cfg.DBName}, nil
}

// Close ends the connections.
func (s *Server) Close() error { return s.db.Close() }

// Snapshot is one read-only transaction on one connection: everything read through it is the
// state of one moment. It is not for concurrent use.
type Snapshot struct {
	server  *Server
	conn    *sql.Conn
	Version string // of the server, as it says it
	// WithConsistentSnapshot is false where the server does not know that clause: the snapshot
	// is then taken by the first read of the table.
	WithConsistentSnapshot bool
}

// session makes the server's answers independent of how it is configured. sql_mode: no
// ANSI_QUOTES or PAD_CHAR_TO_FULL_LENGTH, and zero dates may be looked at. time_zone: TIMESTAMP
// is shown in UTC. net_write_timeout (seconds): an upload may hold the rows back for a while.
var session = []string{
	"SET NAMES utf8mb4",
	"SET SESSION sql_mode = ''",
	"SET SESSION time_zone = '+00:00'",
	"SET SESSION net_write_timeout = 600",
	"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
}

// Snapshot connects and begins a transaction; Close it.
func (s *Server) Snapshot(ctx context.Context) (*Snapshot, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, s.explain(err, "")
	}
	snapshot := &Snapshot{server: s, conn: conn}
	if err := snapshot.begin(ctx); err != nil {
		return nil, errors.Join(s.explain(err, ""), conn.Close())
	}
	return snapshot, nil
}

func (s *Snapshot) begin(ctx context.Context) error {
	for _, statement := range session {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.Version); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
	if s.WithConsistentSnapshot = err == nil; err == nil {
		return nil
	}
	if !isSyntaxError(err) {
		return err
	}
	_, err = s.conn.ExecContext(ctx, "START TRANSACTION READ ONLY")
	return err
}

// Close ends the transaction and returns the connection.
func (s *Snapshot) Close() error {
	// Not the caller's context: it may be cancelled, and the transaction must still end.
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	_, err := s.conn.ExecContext(ctx, "ROLLBACK")
	err = errors.Join(err, s.conn.Close())
	if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return nil // the connection is gone, and the transaction with it
	}
	return err
}
