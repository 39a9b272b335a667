// Package embeddedmysql serves the MySQL protocol from memory, for machines without a MySQL server. It is go-mysql-server:
// enough SQL for the seed, the introspection and the extraction, and nothing survives the process.
package embeddedmysql

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/sirupsen/logrus"
)

// Account is the one user of the server; others are refused, so that a wrong password fails here as it does in production.
type Account struct {
	Database string
	User     string
	Password string
}

// Server is a running MySQL server; its data is gone when it is closed.
type Server struct {
	mysql *server.Server
}

// New makes a server on the listener, with an empty database and the account. It answers once Serve runs.
func New(listener net.Listener, account Account) (*Server, error) {
	// go-mysql-server logs every connection and query at info level through logrus's standard logger.
	logrus.SetLevel(logrus.ErrorLevel)

	database := memory.NewDatabase(account.Database)
	database.BaseDatabase.EnablePrimaryKeyIndexes()
	provider := memory.NewDBProvider(database)
	engine := sqle.NewDefault(provider)

	accounts := engine.Analyzer.Catalog.MySQLDb
	editor := accounts.Editor()
	accounts.AddEphemeralSuperUser(editor, account.User, "localhost", account.Password)
	editor.Close()

	config := server.Config{
		Listener: listener,
		Protocol: "tcp",
		Address:  listener.Addr().String(),
		// The version string is how clients choose their SQL dialect: this server answers as MySQL 8.0.
		Version: "8.0.33-go-mysql-server",
	}
	s, err := server.NewServer(config, engine, sql.NewContext, memory.NewSessionBuilder(provider), nil)
	if err != nil {
		return nil, fmt.Errorf("embedded MySQL at %s: %w", listener.Addr(), err)
	}
	return &Server{mysql: s}, nil
}

// Serve accepts connections until ctx is done.
func (s *Server) Serve(ctx context.Context) error {
	var stopping atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		stopping.Store(true)
		if err := s.mysql.Close(); err != nil {
			slog.Warn("embedded MySQL did not close cleanly", "error", err)
		}
	})
	defer stop()
	err := s.mysql.Start()
	if stopping.Load() {
		return nil
	}
	return err
}
