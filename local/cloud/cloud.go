// Package cloud runs the whole system on one machine: an emulated AWS, PostgreSQL with pgvector and a MySQL server, and the
// real template deployed into them. Everything is under one directory; two directories are two clouds.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Cloud is a running local cloud.
type Cloud struct {
	Addresses Addresses

	settings          Settings
	progress          io.Writer
	client            *http.Client
	mysqlSecretARN    string
	postgresSecretARN string
	servingSecretARN  string
}

// Up starts the servers that do not run yet, seeds MySQL and writes the secrets; it deploys nothing. It can be repeated, and
// then costs little. What it does is told on progress, one line per step.
func Up(ctx context.Context, settings Settings, progress io.Writer) (*Cloud, error) {
	s, err := settings.complete()
	if err != nil {
		return nil, err
	}
	if err := checkPrerequisites(); err != nil {
		return nil, err
	}
	embedded := s.usesEmbeddedMySQL()
	if !embedded {
		if err := checkOwnMySQL(ctx, s.MySQLDSN); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(ctx, s.Dir, "cloud")
	if err != nil {
		return nil, err
	}
	defer unlock()

	c := &Cloud{settings: s, progress: progress}
	st, err := s.readState()
	if err != nil {
		return nil, err
	}
	mysqlBefore := ""
	if st.EmbeddedMySQL {
		mysqlBefore = st.Addresses.mysql()
	}
	st.Auth, st.EmbeddedMySQL = s.Auth, embedded

	postgres, err := c.upPostgres(ctx, st.Addresses.postgres())
	if err != nil {
		return nil, err
	}
	st.Addresses.PostgresURL = postgresURL(postgres.Address, postgresDatabase)
	if st.Addresses.MySQLDSN, err = c.upMySQL(ctx, embedded, mysqlBefore); err != nil {
		return nil, err
	}
	if st.Addresses.Endpoint, err = c.upEmulator(ctx, postgres); err != nil {
		return nil, err
	}
	c.Addresses = st.Addresses
	if c.client, err = s.emulatorClient(); err != nil {
		return nil, err
	}
	if err := s.writeState(st); err != nil {
		return nil, err
	}
	return c, c.putSecrets(ctx)
}

func (c *Cloud) upPostgres(ctx context.Context, before string) (Record, error) {
	venv, err := c.prepareVenv(ctx, "postgres")
	if err != nil {
		return Record{}, err
	}
	var r Record
	return r, c.step("postgres", func() (string, error) {
		if r, err = c.settings.upPostgres(ctx, venv, before); err == nil {
			err = ensureServing(ctx, r.Address)
		}
		return r.Address, err
	})
}

func (c *Cloud) upMySQL(ctx context.Context, embedded bool, before string) (dsn string, err error) {
	err = c.step("mysql", func() (string, error) {
		dsn = c.settings.MySQLDSN
		what := redacted(dsn) + " (your own)"
		if embedded {
			r, err := c.settings.upMySQL(ctx, before)
			if err != nil {
				return "", err
			}
			dsn, what = embeddedDSN(r.Address), r.Address
		}
		seeded, err := seedMySQL(ctx, dsn, c.settings.Dataset)
		return what + ", " + seeded, err
	})
	return dsn, err
}

func (c *Cloud) upEmulator(ctx context.Context, postgres Record) (endpoint string, err error) {
	venv, err := c.prepareVenv(ctx, "emulator")
	if err != nil {
		return "", err
	}
	err = c.step("emulator", func() (string, error) {
		r, fresh, err := c.settings.upEmulator(ctx, venv)
		if err != nil {
			return "", err
		}
		endpoint = r.Address
		if !fresh {
			return r.Address, nil
		}
		if err := newDatabase(ctx, postgres.Address); err != nil {
			// Without its database the new emulator would pass for complete the next time.
			return "", errors.Join(err, c.settings.stop(ctx, r))
		}
		return r.Address + ", empty; so is database " + postgresDatabase, nil
	})
	return endpoint, err
}

func (c *Cloud) putSecrets(ctx context.Context) error {
	client := secretsmanager.NewFromConfig(c.AWSConfig())
	mysql, err := mysqlSecret(c.Addresses.MySQLDSN)
	if err != nil {
		return err
	}
	postgres, err := postgresSecret(c.Addresses.PostgresURL)
	if err != nil {
		return err
	}
	if c.mysqlSecretARN, err = putSecret(ctx, client, mysqlSecretName, mysql); err != nil {
		return err
	}
	if c.postgresSecretARN, err = putSecret(ctx, client, postgresSecretName, postgres); err != nil {
		return err
	}
	postgres.Username = postgresServing // its password is the same
	c.servingSecretARN, err = putSecret(ctx, client, servingSecretName, postgres)
	return err
}

// prepareVenv tells of a virtual environment only if it had to be made.
func (c *Cloud) prepareVenv(ctx context.Context, name string) (dir string, err error) {
	started := time.Now()
	told := c.tellIfSlow("venv-"+name, "installing")
	dir, made, err := c.settings.venv(ctx, name)
	told()
	if err == nil && made {
		c.report("venv-"+name, "installed", started)
	}
	return dir, err
}

// step does one step and reports it with its duration.
func (c *Cloud) step(name string, do func() (string, error)) error {
	started := time.Now()
	told := c.tellIfSlow(name, "working; details in "+c.settings.Dir+"/log")
	detail, err := do()
	told()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.report(name, detail, started)
	return nil
}

// slow is when a step that says nothing begins to look stuck. The first build takes minutes, later ones seconds.
const slow = 3 * time.Second

// tellIfSlow says what is being done once it is slow; the function it returns ends that.
func (c *Cloud) tellIfSlow(name, what string) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
		case <-time.After(slow):
			fmt.Fprintf(c.progress, "      …    %-14s %s\n", name, what)
		}
	}()
	return func() { close(done); <-ended }
}

func (c *Cloud) report(name, detail string, started time.Time) {
	fmt.Fprintf(c.progress, "%6.1f s  %-14s %s\n", time.Since(started).Seconds(), name, detail)
}

// Down stops the servers of the directory, the last started first. A server of the user's own is not ours to stop.
func (c *Cloud) Down(ctx context.Context) error { return Down(ctx, c.settings, c.progress) }

// Down stops exactly the servers that Up started with these settings.
func Down(ctx context.Context, settings Settings, progress io.Writer) error {
	s, err := settings.complete()
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.Dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(progress, "nothing runs")
		return nil
	}
	unlock, err := lock(ctx, s.Dir, "cloud")
	if err != nil {
		return err
	}
	defer unlock()
	running, err := s.records()
	if err != nil {
		return err
	}
	if len(running) == 0 {
		fmt.Fprintln(progress, "nothing runs")
	}
	c := &Cloud{settings: s, progress: progress}
	var failed []error
	for _, r := range slices.Backward(running) {
		failed = append(failed, c.step(r.Name, func() (string, error) {
			detail := "stopped"
			if !r.Running() {
				detail = "had ended by itself, see " + r.Log
			}
			return detail, s.stop(ctx, r)
		}))
	}
	return errors.Join(failed...)
}

// Status are the servers that Up started; one that is not Running has ended by itself.
func Status(settings Settings) ([]Record, error) {
	s, err := settings.complete()
	if err != nil {
		return nil, err
	}
	return s.records()
}

// Connect returns the cloud that runs with these settings, without starting or changing anything.
func Connect(settings Settings) (*Cloud, error) {
	s, err := settings.complete()
	if err != nil {
		return nil, err
	}
	_, ok, err := s.running(emulatorName)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("no local cloud runs in %s: start it (make up)", s.Dir)
	}
	st, err := s.readState()
	if err != nil {
		return nil, err
	}
	s.Auth = st.Auth
	client, err := s.emulatorClient()
	if err != nil {
		return nil, err
	}
	return &Cloud{settings: s, progress: io.Discard, Addresses: st.Addresses, client: client}, nil
}

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Env is what a program needs in its environment to talk to this cloud.
func (c *Cloud) Env() []Variable {
	return []Variable{
		{"AWS_ENDPOINT_URL", c.Addresses.Endpoint},
		{"AWS_CA_BUNDLE", c.settings.certificatePath()},
		{"AWS_ACCESS_KEY_ID", accessKey},
		{"AWS_SECRET_ACCESS_KEY", secretKey},
		{"AWS_REGION", Region},
		{"AWS_DEFAULT_REGION", Region},
		{"MYSQL_DSN", c.Addresses.MySQLDSN},
		{"POSTGRES_URL", c.Addresses.PostgresURL},
		{"MILLRACE_STACK", c.settings.Stack},
		{"STAGE", "local"}, // of make: samconfig.toml's table
	}
}

// Export is the variable as a line for a POSIX shell to evaluate.
func (v Variable) Export() string {
	return "export " + v.Name + "='" + strings.ReplaceAll(v.Value, "'", `'\''`) + "'"
}
