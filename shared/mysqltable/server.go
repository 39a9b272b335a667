// Package mysqltable reads one table of a MySQL or MariaDB server exactly: its columns as the
// server declares them, its rows in chunks cut by key, and the server's own checksum of every
// chunk, all in one snapshot.
package mysqltable

import (
	"database/sql"
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
	cfg.DialFunc = buffered(cfg.DialFunc)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	return &Server{db: sql.OpenDB(connector), address: cfg.Addr, user: cfg.User, database: cfg.DBName}, nil
}

// Close ends the connections.
func (s *Server) Close() error { return s.db.Close() }
