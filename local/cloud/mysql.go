package cloud

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/local/embeddedmysql"
	"github.com/millrace/millrace/local/seed"
)

const (
	mysqlName = "mysql"
	mysqlPort = 3306
	// ServeMySQLVerb is the command of package main that ServeMySQL is behind.
	ServeMySQLVerb = "mysql-serve"
)

// embeddedAccount protects nothing: the server listens on the loopback address and holds the demo's data.
func embeddedAccount() embeddedmysql.Account {
	return embeddedmysql.Account{Database: "classicmodels", User: "millrace", Password: "millrace"}
}

// ServeMySQL is the embedded server's process: it serves at the address until ctx is done.
func ServeMySQL(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s, err := embeddedmysql.New(listener, embeddedAccount())
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// usesEmbeddedMySQL: no server of the user's own was named, or the one named is the embedded one, whose DSN `env` exports.
func (s Settings) usesEmbeddedMySQL() bool {
	if s.MySQLDSN == "" {
		return true
	}
	config, err := mysql.ParseDSN(s.MySQLDSN)
	if err != nil {
		return false
	}
	st, err := s.readState()
	return err == nil && st.EmbeddedMySQL && s.MySQLDSN == st.Addresses.MySQLDSN && config.User == embeddedAccount().User
}

// upMySQL returns the running embedded server, or builds and starts one, at the address it had before if that is free.
func (s Settings) upMySQL(ctx context.Context, before string) (r Record, err error) {
	r, ok, err := s.running(mysqlName)
	if err != nil || ok {
		return r, err
	}
	port, err := choosePort("MYSQL_PORT", s.MySQLPort, lastPort(before, mysqlPort))
	if err != nil {
		return Record{}, err
	}
	// A program of its own: what `go run` and `go test` run is deleted when they end, but this is to outlive them.
	program := filepath.Join(s.Dir, "bin", "local")
	build := command{words: []string{"go", "build", "-o", program, "./local"}, dir: s.Root, environment: os.Environ(), log: s.logPath("build-local")}
	if err := build.run(ctx); err != nil {
		return Record{}, err
	}
	address := net.JoinHostPort(loopback, strconv.Itoa(port))
	return s.start(ctx, server{
		name: mysqlName, address: address,
		dir: s.Dir, command: []string{program, ServeMySQLVerb, address},
		environment: plainEnvironment(),
		stop:        syscall.SIGTERM,
		ready: func(ctx context.Context) error {
			db, err := openMySQL(embeddedDSN(address))
			if err != nil {
				return err
			}
			defer db.Close()
			return db.PingContext(ctx)
		},
	})
}

func embeddedDSN(address string) string {
	account := embeddedAccount()
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", address
	config.User, config.Passwd, config.DBName = account.User, account.Password, account.Database
	return config.FormatDSN()
}

// openMySQL opens a database; the driver's own messages about connections that fail while a server starts are not shown.
func openMySQL(dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w: write user:password@tcp(host:port)/database", err)
	}
	config.Logger = stdlog.New(io.Discard, "", 0)
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// checkOwnMySQL connects to the user's server, so that its problems are told before anything is seeded or deployed.
func checkOwnMySQL(ctx context.Context, dsn string) error {
	if _, err := mysqlSecret(dsn); err != nil {
		return err
	}
	db, err := openMySQL(dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("MYSQL_DSN: cannot use %s: %w", redacted(dsn), err)
	}
	return nil
}

// seedMySQL adds the shop's tables that the database lacks, and says what it did.
func seedMySQL(ctx context.Context, dsn, shop string) (string, error) {
	db, err := openMySQL(dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	results, err := seed.Load(ctx, db, shop)
	if err != nil {
		return "", err
	}
	var created, kept []string
	for _, r := range results {
		if r.Created {
			created = append(created, fmt.Sprintf("%s %d", r.Table, r.Rows))
		} else {
			kept = append(kept, r.Table)
		}
	}
	switch {
	case len(kept) == 0:
		return "seeded: " + strings.Join(created, ", "), nil
	case len(created) == 0:
		return "has its tables, nothing written", nil
	default:
		return "seeded: " + strings.Join(created, ", ") + "; left as they were: " + strings.Join(kept, ", "), nil
	}
}

// mysqlSecret is the DSN as the functions read it: the JSON that RDS keeps in Secrets Manager.
func mysqlSecret(dsn string) (databaseSecret, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return databaseSecret{}, fmt.Errorf("MYSQL_DSN: %w: write user:password@tcp(host:port)/database", err)
	}
	if config.Net != "tcp" {
		return databaseSecret{}, errors.New("MYSQL_DSN: the functions reach a database by host and port: write user:password@tcp(host:port)/database")
	}
	if config.DBName == "" {
		return databaseSecret{}, fmt.Errorf("MYSQL_DSN: %s names no database: add /database", redacted(dsn))
	}
	host, port, err := net.SplitHostPort(config.Addr)
	if err != nil {
		return databaseSecret{}, fmt.Errorf("MYSQL_DSN: address %s: %w", config.Addr, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return databaseSecret{}, fmt.Errorf("MYSQL_DSN: port %s is not a number", port)
	}
	return databaseSecret{
		Engine: "mysql", Host: host, Port: number, Username: config.User, Password: config.Passwd, Database: config.DBName, TLS: config.TLSConfig,
	}, nil
}

// redacted is a DSN to show.
func redacted(dsn string) string {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "(unreadable)"
	}
	return fmt.Sprintf("%s@%s(%s)/%s", config.User, config.Net, config.Addr, config.DBName)
}
