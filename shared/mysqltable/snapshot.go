package mysqltable

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// Snapshot is one read-only transaction on one connection: everything read through it is the
// state of one moment. It is not for concurrent use.
type Snapshot struct {
	server  *Server
	conn    *sql.Conn
	Version string // of the server, as it says it
	// WithConsistentSnapshot is false where the server does not know that clause: the snapshot
	// is then taken by the first read of the table.
	WithConsistentSnapshot bool
	// Position says up to where the server's log is in the snapshot; "" where the server keeps no
	// log or does not say. On MariaDB it is exact (the binary log's file and position), on MySQL
	// the least: transactions after these GTIDs may be in the snapshot too.
	Position string

	binlog string // the exact position
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
	err = snapshot.prepare(ctx)
	if err == nil {
		err = snapshot.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(s.explain(err, ""), conn.Close())
	}
	return snapshot, nil
}

func (s *Snapshot) prepare(ctx context.Context) error {
	for _, statement := range session {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return s.conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.Version)
}

// begin begins the transaction; it ends one that was begun before.
func (s *Snapshot) begin(ctx context.Context) error {
	// Before, because on MySQL a transaction shows before its GTID is among the executed ones.
	executed := s.executed(ctx)
	_, err := s.conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
	if err == nil {
		s.WithConsistentSnapshot, s.binlog = true, s.readBinlog(ctx)
		s.Position = cmp.Or(s.binlog, executed)
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
