package vectorstore

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// recovery is how long a server whose connection broke may take to be back: a restart takes one to three seconds, a failover a minute,
	// which is for the batch's next delivery.
	recovery = 5 * time.Second
	// between two looks whether it is back: a refused connection costs nothing.
	recoveryPause = 100 * time.Millisecond
)

// try does something that may be done twice, and once more if the connection turned out to be stale, or the password to be old: a new
// connection asks for the credentials again. A server that cannot be reached from the start is not waited for.
func (s *Store) try(ctx context.Context, do func() error) error {
	err := do()
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case loginRefused(err):
	case stale(err):
		s.pool.Reset() // the others are as stale
		s.awaitServer(ctx)
	default:
		return err
	}
	slog.WarnContext(ctx, "the database is asked once more", "error", err)
	return do()
}

// tried is try for what has a result.
func tried[T any](ctx context.Context, s *Store, read func() (T, error)) (result T, err error) {
	err = s.try(ctx, func() (err error) {
		result, err = read()
		return err
	})
	return result, err
}

// awaitServer waits until a connection can be made, or it is clear that it cannot.
func (s *Store) awaitServer(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for {
		err := s.pool.Ping(ctx)
		var refused *pgconn.ConnectError
		if err == nil || loginRefused(err) || !stale(err) && !errors.As(err, &refused) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recoveryPause):
		}
	}
}

// Unreachable says that an error is about reaching the database, not about what was asked of it.
func Unreachable(err error) bool {
	var refused *pgconn.ConnectError
	return errors.As(err, &refused) || stale(err)
}

func loginRefused(err error) bool {
	code := sqlState(err)
	return code == invalidPassword || code == invalidAuthorization
}

// stale says that a connection ended under what was being done on it, or that the server is about to be there again.
func stale(err error) bool {
	if code := sqlState(err); code != "" {
		return code[:2] == connectionException || strings.HasPrefix(code, serverShutdown)
	}
	var refused *pgconn.ConnectError
	var network *net.OpError
	return !errors.As(err, &refused) && (pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &network) && !network.Timeout())
}
