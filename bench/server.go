package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// server is a MariaDB of our own on a free port of the loopback address.
type server struct {
	process *exec.Cmd
	port    int
	db      *sql.DB
}

const (
	database = "bench"
	table    = "ratings"
	user     = "bench"
	password = "bench"
)

// The pool holds 20 million rows (1.6 GB): what is measured is reading, not the disk.
var serverSettings = []string{"--innodb-buffer-pool-size=4G", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--log-bin", "--server-id=1"}

func startServer(ctx context.Context, dir string) (*server, error) {
	for _, name := range []string{"mariadb-install-db", "mariadbd", "mariadb"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%s is not on the PATH: install MariaDB (Debian: apt-get install mariadb-server)", name)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := append([]string{"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--socket=" + filepath.Join(dir, "s"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--log-error=" + filepath.Join(dir, "log"), "--skip-name-resolve"}, serverSettings...)
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	s := &server{process: exec.Command("mariadbd", args...), port: port}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (s *server) prepare(ctx context.Context) error {
	root, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/", s.port))
	if err != nil {
		return err
	}
	defer root.Close()
	for deadline := time.Now().Add(time.Minute); root.PingContext(ctx) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("mariadbd does not answer within a minute")
		}
	}
	for _, statement := range []string{
		"CREATE DATABASE " + database + " CHARACTER SET utf8mb4",
		"CREATE USER " + user + "@127.0.0.1 IDENTIFIED BY '" + password + "'",
		"GRANT ALL ON *.* TO " + user + "@127.0.0.1",
	} {
		if _, err := root.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	s.db, err = sql.Open("mysql", s.dsn())
	return err
}

func (s *server) dsn() string {
	return fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", user, password, s.port, database)
}

func (s *server) url(scheme string) string {
	return fmt.Sprintf("%s://%s:%s@127.0.0.1:%d/%s", scheme, user, password, s.port, database)
}

// client are the arguments of MariaDB's own programs.
func (s *server) client() []string {
	return []string{"--host=127.0.0.1", "--port=" + strconv.Itoa(s.port), "--user=" + user, "--password=" + password}
}

// fill makes the table of so many rows, the same each time. The key is spread like a shop's: twenty products a user.
func (s *server) fill(ctx context.Context, rows int) error {
	for _, statement := range []string{
		"DROP TABLE IF EXISTS " + table,
		"CREATE TABLE " + table + ` (
			user bigint NOT NULL, product varchar(32) NOT NULL, rating int NOT NULL, price decimal(10,2) NOT NULL,
			city varchar(64), ts datetime(6) NOT NULL, PRIMARY KEY (user, product))`,
		fmt.Sprintf(`INSERT INTO `+table+`
			SELECT seq DIV 20, CONCAT('S', LPAD(MOD(seq * 7919, 10000), 5, '0')), 1 + MOD(seq * 31, 5), MOD(seq * 7919, 9999999) / 100,
			       IF(MOD(CRC32(seq), 100) < 12, NULL, ELT(1 + MOD(CRC32(seq), 20), 'Paris', 'London', 'Madrid', 'San Francisco', 'New York', 'Nantes', 'Lyon',
			          'Singapore', 'São Paulo', 'Köln', 'Łódź', 'Oslo', 'Bergen', 'Milan', 'Turin', 'Melbourne', 'Sydney', 'Auckland', 'Tokyo', '東京')),
			       TIMESTAMPADD(MICROSECOND, MOD(seq * 10007 * 1000003, 31536000000000), '2025-11-22')
			FROM seq_1_to_%d`, rows),
		"ANALYZE TABLE " + table,
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("fill the table: %w", err)
		}
	}
	return nil
}

func (s *server) stop() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if waited := s.process.Wait(); waited != nil && !errors.As(waited, &exit) {
		err = errors.Join(err, waited)
	}
	return err
}
