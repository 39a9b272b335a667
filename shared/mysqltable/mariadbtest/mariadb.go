// Package mariadbtest runs a MariaDB server of its own for the tests of a package: on a Unix
// socket in a temporary directory, reachable by nobody else.
package mariadbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// Server is a running MariaDB. A nil *Server is one that is not installed: tests that ask it
// for a database are skipped.
type Server struct {
	dir       string
	process   *exec.Cmd
	exited    chan error
	databases atomic.Int64
}

const (
	startTimeout = 60 * time.Second // on a busy machine with two cores it takes two seconds
	stopTimeout  = 30 * time.Second
)

// Main is a package's TestMain: it starts a server for all tests of the package, each with a database
// of its own, runs them, and ends the process.
//
//	func TestMain(m *testing.M) { mariadbtest.Main(m, &mariadb) }
func Main(m *testing.M, server **Server) {
	code, err := run(m, server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, server **Server) (code int, err error) {
	if *server, err = Start(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, (*server).Stop()) }()
	return m.Run(), nil
}

// Start starts a server, or returns nil if MariaDB is not installed.
func Start() (*Server, error) {
	install, daemon := find("mariadb-install-db"), find("mariadbd")
	if install == "" || daemon == "" {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "mariadb") // short: a socket's path is at most 107 bytes
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	// --no-defaults: the machine's own configuration is another server's.
	installation := exec.Command(install, "--no-defaults", "--datadir="+data, "--skip-test-db",
		"--auth-root-authentication-method=normal")
	// A temporary directory of its own: servers that start together remove each other's tables from a shared one.
	environment := append(os.Environ(), "TMPDIR="+dir)
	installation.Env = environment
	out, err := installation.CombinedOutput()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mariadb-install-db: %w: %s", err, out), os.RemoveAll(dir))
	}
	s := &Server{dir: dir, exited: make(chan error, 1)}
	args := []string{"--no-defaults", "--datadir=" + data, "--socket=" + s.socket(), "--skip-networking",
		"--log-error=" + filepath.Join(dir, "log"), "--innodb-flush-log-at-trx-commit=0",
		"--log-bin=binlog", "--server-id=1", // so that snapshots have a position
		"--max-allowed-packet=64M"} // MySQL's default; MariaDB's is 16 MiB
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	s.process = exec.Command(daemon, args...)
	s.process.Env = environment
	if err := s.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() { s.exited <- s.process.Wait() }()
	if err := s.wait(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func find(name string) string {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/bin/" + name, "/usr/local/sbin/" + name, "/usr/local/bin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

func (s *Server) wait() error {
	db, err := sql.Open("mysql", s.config("").FormatDSN())
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(startTimeout)
	for {
		err := db.Ping()
		if err == nil {
			return nil
		}
		select {
		case exit := <-s.exited:
			s.exited <- exit
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("mariadbd ended: %w: %s", exit, log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("mariadbd does not answer after %v: %w", startTimeout, err)
		}
	}
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	if s == nil {
		return nil
	}
	_ = s.process.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		_ = s.process.Process.Kill()
		<-s.exited
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) socket() string { return filepath.Join(s.dir, "socket") }

func (s *Server) config(database string) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "unix", s.socket(), "root", database
	return cfg
}

// Database is an empty database for one test, with a connection that allows what a careless
// application would: zero dates, values cut off.
type Database struct {
	Name string
	DB   *sql.DB
	s    *Server
}

// Database makes one; the test is skipped if MariaDB is not installed.
func (s *Server) Database(t testing.TB) *Database {
	t.Helper()
	if s == nil {
		t.Skip("skipped: MariaDB is not installed (Debian: apt-get install mariadb-server)")
	}
	d := &Database{Name: fmt.Sprintf("shop_%d", s.databases.Add(1)), s: s}
	admin, err := sql.Open("mysql", s.config("").FormatDSN())
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Exec("CREATE DATABASE " + d.Name + " CHARACTER SET utf8mb4")
	require.NoError(t, err)
	cfg := d.Config()
	cfg.Params = map[string]string{"sql_mode": "'ALLOW_INVALID_DATES'", "time_zone": "'+00:00'"}
	d.DB, err = sql.Open("mysql", cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.DB.Close()) })
	return d
}

// Config connects to the database as root.
func (d *Database) Config() *mysql.Config { return d.s.config(d.Name) }

// Exec runs statements.
func (d *Database) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := d.DB.ExecContext(context.Background(), strings.ReplaceAll(statement, "{database}", d.Name))
		require.NoError(t, err, statement)
	}
}
