package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestKilledAtAnySideEffectTheRecommenderLosesAndDoublesNothing kills the process just when a side effect is about to happen, or has happened and
// nobody has been told. In the order of a batch: a bad event put aside, what users did remembered, answers delivered, the batch reported.
func TestKilledAtAnySideEffectTheRecommenderLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	seed := number(t, "CHAOS_SEED", rand.Uint64N(1_000_000))
	times := int(number(t, "CHAOS_KILLS", 50))
	path := bootstrap(t)
	for _, point := range []struct {
		name string
		// arm lets the process be killed at the next side effect of this kind. It returns what waits until that has happened.
		arm func(t *testing.T, s *system, kill func()) (wait func())
	}{
		{"quarantine before it is stored", func(_ *testing.T, s *system, kill func()) func() {
			s.bucket.On(once(func() { kill(); panic(http.ErrAbortHandler) }), nil)
			return nil
		}},
		{"quarantine stored", func(_ *testing.T, s *system, kill func()) func() {
			s.bucket.On(nil, once(kill))
			return nil
		}},
		{"activity under way", func(t *testing.T, s *system, kill func()) func() { return killAtCommit(t, s, kill) }},
		{"activity stored, lines before they are accepted", func(_ *testing.T, s *system, kill func()) func() {
			s.firehose.On(once(func() { kill(); panic(http.ErrAbortHandler) }), nil)
			return nil
		}},
		{"lines accepted", func(_ *testing.T, s *system, kill func()) func() {
			s.firehose.On(nil, once(kill))
			return nil
		}},
		{"answer given and lost", func(_ *testing.T, s *system, kill func()) func() {
			lost := once(kill)
			killed := atomic.Bool{}
			s.function.OnAnswer(func() bool {
				lost()
				return killed.CompareAndSwap(false, true)
			})
			return nil
		}},
	} {
		t.Run(point.name, func(t *testing.T) {
			s := start(t, path, seed, 1)
			kills := 0
			kill := func() {
				if s.function.Kill(0) {
					kills++
				}
			}
			for round := range times {
				wait := point.arm(t, s, kill)
				for n := range 6 {
					s.put(round*6+n, fmt.Sprint(100+round), n != 0)
				}
				if wait != nil {
					wait()
				}
				require.Eventually(t, func() bool { return s.poller.Done() == s.stream.Len() }, time.Minute, time.Millisecond)
			}
			outcome, verdict := s.rest(t, 0)
			t.Logf("seed %d: %d events, %d kills, %d processes started, %d lines: %v", seed, len(outcome.Sent), kills, s.function.Starts(), len(outcome.Lines), verdict)
			require.Equal(t, times, kills)
			require.Equal(t, times+1, s.function.Starts())
			require.False(t, verdict.Broken(), "%v\n%v", verdict, verdict.Examples)
		})
	}
}

// once does something the first time it is called.
func once(do func()) func() {
	var called atomic.Bool
	return func() {
		if called.CompareAndSwap(false, true) {
			do()
		}
	}
}

// killAtCommit holds the table until the process's transaction waits for it, kills the process and lets go: the server then finishes, for nobody,
// what it was sent.
func killAtCommit(t *testing.T, s *system, kill func()) (wait func()) {
	holder, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	tx, err := holder.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `lock table millrace.user_activity in exclusive mode`)
	require.NoError(t, err)
	return func() {
		require.Eventually(t, func() bool {
			var waiting int
			require.NoError(t, tx.QueryRow(t.Context(), `select count(*) from pg_locks l join pg_class c on c.oid = l.relation
				where c.relname = 'user_activity' and not l.granted and l.database = (select oid from pg_database where datname = current_database())`).Scan(&waiting))
			return waiting > 0
		}, time.Minute, 5*time.Millisecond)
		kill()
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, holder.Close(t.Context()))
	}
}
