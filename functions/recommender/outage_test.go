package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// onOwnServer is a recommender whose database a test may stop. asked counts how often the credentials were read.
func onOwnServer(t *testing.T) (b bundle, server *postgrestest.Server, asked *atomic.Int64, credentials func(func() string)) {
	server = postgrestest.NewServer(t)
	b = setup(t)
	var current atomic.Pointer[func() string]
	fixed := func() string { return server.URL }
	current.Store(&fixed)
	asked = &atomic.Int64{}
	store, err := vectorstore.Open(t.Context(), func(context.Context) (string, error) {
		asked.Add(1)
		return (*current.Load())(), nil
	})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.Eventually(t, func() bool { return store.Migrate(t.Context()) == nil }, time.Minute, 50*time.Millisecond)
	b.store = store
	b.version = shoptest.Load(t, store, "20261122T020000Z")
	b.recommender.models, b.recommender.activity = activemodel.New(store, b.shop, math.MaxInt64), store
	return b, server, asked, func(read func() string) { current.Store(&read) }
}

// retriesKey is that of a context whose retries are counted: by what the store logs of each.
type retriesKey struct{}

type countingRetries struct{ slog.Handler }

func (h countingRetries) Handle(ctx context.Context, r slog.Record) error {
	if retries, ok := ctx.Value(retriesKey{}).(*atomic.Int64); ok && r.Message == "the database is asked once more" {
		retries.Add(1)
	}
	return h.Handler.Handle(ctx, r)
}

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(countingRetries{slog.NewTextHandler(os.Stderr, nil)}))
	os.Exit(m.Run())
}

func (b bundle) recorded(t *testing.T, at string) (n int) {
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from millrace.user_activity`).Scan(&n))
	return n
}

func TestARestartOfTheDatabaseWithinABatchCostsOneRetry(t *testing.T) {
	t.Parallel()
	// A connection that was used a moment ago, and one that was idle while a large model was searched.
	for name, idle := range map[string]time.Duration{"busy": 0, "idle": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restartWithinABatch(t, idle)
		})
	}
}

func restartWithinABatch(t *testing.T, idle time.Duration) {
	b, server, asked, _ := onOwnServer(t)
	batch := long(t, 70)
	require.Empty(t, b.handle(t, batch))
	b.sink.lines = nil
	before, looked := asked.Load(), 0
	restarted := make(chan time.Time, 1)
	b.recommender.now = func() time.Time {
		if looked++; looked == 2 { // between two parts of the batch
			time.Sleep(idle)
			server.Stop(t)
			go func() {
				time.Sleep(time.Second) // there is nothing to connect to
				server.Start(t)
				restarted <- time.Now()
			}()
		}
		return time.Now()
	}
	for n := range batch.Records {
		batch.Records[n].EventID += "0" // others than before
		batch.Records[n].Kinesis.ApproximateArrivalTimestamp.Time = time.Now()
	}
	var retries atomic.Int64
	require.Empty(t, b.handleIn(context.WithValue(t.Context(), retriesKey{}, &retries), t, batch), "nothing is left for another delivery")
	recovery := time.Since(<-restarted)
	t.Logf("figures: answered %s after the server was back, retries %d, connections tried %d", recovery.Round(time.Millisecond), retries.Load(), asked.Load()-before)
	require.Less(t, recovery, 5*time.Second)
	require.LessOrEqual(t, retries.Load(), int64(1))
	require.Len(t, b.sink.records(t), 70)
	events := map[any]int{}
	for _, r := range b.sink.records(t) {
		events[r.CustomerNumber] += 2 // those of the batch before
	}
	want := 0
	for user, n := range events {
		if user != nil {
			want += min(n, 50) // are kept of a user
		}
	}
	require.Equal(t, want, b.recorded(t, server.URL))

	// One that comes while it is down is for the next delivery, whole.
	b.recommender.now = time.Now
	b.sink.lines = nil
	server.Stop(t)
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch))
	require.Empty(t, b.sink.lines)
	server.Start(t)
	require.Eventually(t, func() bool { return b.handle(t, batch) == "" }, 10*time.Second, 100*time.Millisecond)
	require.Len(t, b.sink.lines, 70)
}

func TestARotatedPasswordCostsAtMostOneFailedAttempt(t *testing.T) {
	t.Parallel()
	b, server, asked, credentials := onOwnServer(t)
	batch := read(t, "recommender-batch.json")
	require.Empty(t, b.handle(t, batch))
	rotated, err := url.Parse(server.URL)
	require.NoError(t, err)
	rotated.User = url.UserPassword("millrace", "second")
	for name, secret := range map[string]func() func() string{
		"the secret is new first": func() func() string { return rotated.String },
		"the secret is late": func() func() string { // Secrets Manager sets the password first, and then says so
			reads := 0
			return func() string {
				if reads++; reads == 1 {
					return server.URL
				}
				return rotated.String()
			}
		},
	} {
		postgrestest.Exec(t, server.URL, `alter role millrace password 'second'; select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace'`)
		credentials(secret())
		before := asked.Load()
		require.Empty(t, b.handle(t, batch), name)
		require.LessOrEqual(t, asked.Load()-before, int64(2), "%s: one attempt with the old password at most, one with the new one", name)
		postgrestest.Exec(t, rotated.String(), `alter role millrace password 'first'`)
	}

	// A function that starts within a rotation has no connection yet that could be stale.
	reads := 0
	fresh, err := vectorstore.Open(t.Context(), func(context.Context) (string, error) {
		if reads++; reads == 1 {
			return rotated.String(), nil
		}
		return server.URL, nil
	})
	require.NoError(t, err)
	t.Cleanup(fresh.Close)
	_, err = fresh.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, reads)
}

func TestWhatHasWaitedTooLongIsAnsweredByPopularityAndKeptAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-batch.json")
	require.Empty(t, b.handle(t, batch))
	b.sink.lines = nil
	for n := range batch.Records {
		batch.Records[n].EventID += "9"
	}
	b.store.Close() // from here on nothing can be asked
	down, err := vectorstore.Open(t.Context(), vectorstore.URL("postgres://shop@127.0.0.1:1/shop"))
	require.NoError(t, err)
	t.Cleanup(down.Close)
	b.recommender.models = cached{b.recommender.models}
	b.recommender.activity = down

	arrived := batch.Records[0].Kinesis.ApproximateArrivalTimestamp.Time
	b.recommender.now = func() time.Time { return arrived.Add(patience - time.Second) }
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch), "it waits")
	require.Empty(t, b.sink.lines)

	last := len(batch.Records) - 1
	batch.Records[last].Kinesis.ApproximateArrivalTimestamp.Time = arrived.Add(time.Hour)
	b.recommender.now = func() time.Time { return arrived.Add(patience + time.Minute) }
	require.Equal(t, batch.Records[last].Kinesis.SequenceNumber, b.handle(t, batch), "what came later goes on waiting")
	records := b.sink.records(t)
	require.Len(t, records, last)
	for n, r := range records {
		require.Equal(t, recommend.Popularity, r.Strategy)
		require.Equal(t, b.version, r.ModelVersion)
		require.Len(t, r.RecommendedItems, 5)
		require.Equal(t, batch.Records[n].EventID, r.EventID)
	}
	keys, err := b.lake.List(t.Context(), quarantine.Root)
	require.NoError(t, err)
	kept := 0
	for _, v := range records {
		if v.CustomerNumber != nil {
			kept++
		}
	}
	require.Len(t, keys, kept)
	body, _, err := b.lake.Get(t.Context(), keys[0])
	require.NoError(t, err)
	var file quarantine.Event
	require.NoError(t, json.NewDecoder(body).Decode(&file))
	require.NoError(t, body.Close())
	require.Contains(t, file.Reason, "millrace redrive")
	require.Equal(t, string(batch.Records[0].Kinesis.Data), string(file.Data()))

	b.sink.lines = nil
	b.recommender.quarantine = broken{}
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch), "what cannot be kept aside is not answered")
	require.Empty(t, b.sink.lines)
	for n := range batch.Records {
		batch.Records[n].EventName = "millrace:redrive:r1"
	}
	b.recommender.quarantine = b.lake
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch), "what was sent again to be recorded waits")
	require.Empty(t, b.sink.lines)
}

// cached is a source of models whose database is gone.
type cached struct{ modelSource }

func (cached) Serving(context.Context) (*activemodel.Serving, error) {
	_, err := pgx.Connect(context.Background(), "postgres://shop@127.0.0.1:1/shop")
	return nil, errors.Join(errors.New("down"), err)
}
