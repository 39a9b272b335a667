package vectorstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// marked is a model all of whose embeddings say which run it is.
func marked(run int) vectorstore.Model {
	m := model(fmt.Sprintf("%04d", run))
	mark := []float32{float32(run), 1}
	m.Items = entities(vectorstore.Entity{ID: "a", Embedding: mark}, vectorstore.Entity{ID: "b", Embedding: mark})
	m.Users = entities(vectorstore.Entity{ID: "103", Embedding: mark}, vectorstore.Entity{ID: "104", Embedding: mark})
	return m
}

// batch reads as the recommender does, the version resolved once, and returns the runs of all it has read. A version that was dropped
// meanwhile is resolved anew.
func batch(ctx context.Context, s *vectorstore.Store) (runs []float32, again int, err error) {
	for ; ; again++ {
		active, err := s.Active(ctx)
		if err != nil {
			return nil, again, err
		}
		list, err := s.Items(ctx, active, "", "")
		var users map[string]vectorstore.User
		if err == nil {
			users, err = s.Users(ctx, active, []string{"103", "104"})
		}
		if errors.Is(err, vectorstore.ErrGone) {
			continue
		}
		if err != nil {
			return nil, again, err
		}
		return []float32{list.Embeddings[0], list.Embeddings[2], users["103"].Embedding[0], users["104"].Embedding[0]}, again, nil
	}
}

// swapCost may be added to a batch by a swap beside it: twice as long as a calm one, and the statements of new tables have to be described to
// each connection, four more round trips. On two cores that are busy a turn of the scheduler takes some milliseconds.
const swapCost = 5 * time.Millisecond

func TestAHundredSwapsUnderReadersMixNothingAndSlowNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.store.Load(b.ctx, marked(1))
	require.NoError(t, err)

	var phase atomic.Int64 // odd: swaps
	var mutex sync.Mutex
	var took [2][]time.Duration // calm, and with swaps; a batch that sees the phase change is neither
	again := 0
	done := make(chan struct{})
	var readers sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); readers.Wait() })
	defer stop()
	for range 3 {
		store := open(t, b.url)
		readers.Go(func() {
			last := float32(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				in, started := phase.Load(), time.Now()
				runs, tries, err := batch(b.ctx, store)
				lasted := time.Since(started)
				require.NoError(t, err)
				require.Equal(t, slices.Min(runs), slices.Max(runs), "a batch of two versions: %v", runs)
				require.GreaterOrEqual(t, runs[0], last, "an older version than before")
				last = runs[0]
				mutex.Lock()
				again += tries
				if phase.Load() == in {
					took[in%2] = append(took[in%2], lasted)
				}
				mutex.Unlock()
			}
		})
	}
	// In turns, so that whatever else the machine does meets both.
	run := 1
	for range 10 {
		started := time.Now()
		phase.Add(1)
		for range 10 {
			run++
			out, err := b.store.Load(b.ctx, marked(run))
			require.NoError(t, err)
			require.True(t, out.Activated, out.Reason)
		}
		phase.Add(1)
		time.Sleep(time.Since(started))
	}
	stop()

	calm, busy := took[0], took[1]
	slices.Sort(calm)
	slices.Sort(busy)
	p := func(list []time.Duration, share float64) time.Duration {
		return list[int(share*float64(len(list)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("figures: %d swaps: p99 %v (p50 %v, longest %v, %d batches); calm: p99 %v (p50 %v, longest %v, %d batches); 0 errors, 0 mixed, %d resolved anew",
		run-1, p(busy, .99), p(busy, .5), p(busy, 1), len(busy), p(calm, .99), p(calm, .5), p(calm, 1), len(calm), again)
	require.LessOrEqual(t, p(busy, .99), 2*p(calm, .99)+swapCost)
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "0101-abc", active.Version)
	require.Len(t, b.tables(t), 4)
}

func TestARotatedPasswordCostsAtMostOneAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at, err := url.Parse(login(t, b.url, "in role "+vectorstore.ServingRole))
	require.NoError(t, err)
	b.load(t, "1")
	var password atomic.Value // what the secret says
	password.Store("first")
	store, err := vectorstore.Open(b.ctx, func(context.Context) (string, error) {
		now := *at
		now.User = url.UserPassword(at.User.Username(), password.Load().(string))
		return now.String(), nil
	})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	end := func() { // as a failover does: every connection
		postgrestest.Exec(t, b.url, `select pg_terminate_backend(pid) from pg_stat_activity where usename = '`+at.User.Username()+`'`)
	}
	attempts := func() (failed int) {
		for range 5 {
			if _, err := store.Active(b.ctx); err != nil {
				failed++
				require.NotContains(t, err.Error(), password.Load().(string))
			}
		}
		return failed
	}
	require.Zero(t, attempts())
	for n := range 5 {
		next := fmt.Sprintf("password-%d", n)
		postgrestest.Exec(t, b.url, `alter role "`+at.User.Username()+`" password '`+next+`'`)
		require.Zero(t, attempts(), "connections that are open stay")
		if n%2 == 0 { // the secret comes a moment after the password
			end()
			_, err := store.Active(b.ctx)
			require.Error(t, err)
			password.Store(next)
			require.Zero(t, attempts(), "the secret is read for each new connection")
			continue
		}
		password.Store(next)
		end()
		require.LessOrEqual(t, attempts(), 1)
	}
	// The loader's own: the same store loads after its password has changed.
	out, err := b.store.Load(b.ctx, model("2"))
	require.NoError(t, err)
	require.True(t, out.Activated)
}
