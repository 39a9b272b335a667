package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// nobody runs a server for root, which PostgreSQL refuses to be run by.
const nobody = 65534

// Server is a PostgreSQL of the test's own, which it may stop. Passwords are asked for.
type Server struct {
	URL string // of a superuser

	bin, data string
	port      int
	process   *exec.Cmd
}

// NewServer starts a server with the programs of the one that POSTGRES_URL names, and stops it when the test ends. It skips the test without
// POSTGRES_URL, or if that server is on another machine.
func NewServer(t testing.TB) *Server {
	s := &Server{bin: programs(t)}
	dir, err := os.MkdirTemp("", "postgres") // one that nobody can enter, which a test's own may not be
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	s.data = filepath.Join(dir, "data")
	password := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(password, []byte("first\n"), 0o600))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(dir, nobody, nobody))
		require.NoError(t, os.Chown(password, nobody, nobody))
	}
	var said bytes.Buffer
	initdb := s.command("initdb", "-D", s.data, "--username=millrace", "--pwfile="+password, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Stdout, initdb.Stderr = &said, &said
	require.NoError(t, initdb.Run(), said.String)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.port = free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	s.URL = fmt.Sprintf("postgres://millrace:first@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	s.Start(t)
	t.Cleanup(func() {
		if s.process != nil {
			s.Stop(t)
		}
	})
	return s
}

// programs finds the folder with initdb and postgres.
func programs(t testing.TB) (folder string) {
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		t.Skip("POSTGRES_URL is not set: needs a PostgreSQL with pgvector (make test starts one)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	require.NoError(t, err)
	defer conn.Close(ctx)
	require.NoError(t, conn.QueryRow(ctx, `select setting from pg_config where name = 'BINDIR'`).Scan(&folder))
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			t.Skipf("no second server can be started: %v", err)
		}
	}
	return folder
}

func (s *Server) command(program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), arguments...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "LC_ALL=C")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// Start starts the server and waits until it answers.
func (s *Server) Start(t testing.TB) {
	s.process = s.command("postgres", "-D", s.data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port),
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "timezone=UTC")
	require.NoError(t, s.process.Start())
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond, "the server does not listen")
}

// Stop ends the server as an operator does who restarts it: clients are cut off.
func (s *Server) Stop(t testing.TB) {
	require.NoError(t, s.process.Process.Signal(syscall.SIGINT))
	require.NoError(t, s.process.Wait())
	s.process = nil
}
