package vectorstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/vectorstore"
)

func TestEarlierSessionsAreRememberedBeforeTheLatest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	of := func(event, session string, at time.Duration, items ...string) vectorstore.Activity {
		a := vectorstore.Activity{User: "u", EventID: event, Session: session, HappenedAt: start.Add(at)}
		for _, i := range items {
			a.Items = append(a.Items, vectorstore.Seen{Item: i, Quantity: 1})
		}
		return a
	}
	require.NoError(t, b.store.RecordActivity(b.ctx, []vectorstore.Activity{
		of("s:1", "old", -48*time.Hour, "a"), of("s:2", "old", -47*time.Hour, "a", "b"),
		of("s:3", "", -2*time.Hour, "c"), of("s:4", "", -time.Hour, "d"), // no session: each its own
		of("s:7:9", "new", 0, "e"), of("s:7:10", "new", 0, "e", "f"), // one aggregated record: one arrival
		of("s:5", "forgotten", -100*time.Hour, "g"),
	}))
	read := func(atMost int) (items string) {
		past, err := b.store.Recent(b.ctx, "u", start.Add(-72*time.Hour), atMost)
		require.NoError(t, err)
		for _, p := range past {
			items += p.Item
		}
		return items
	}
	require.Equal(t, "abcdef", read(20))
	require.Equal(t, "def", read(3), "the latest count")
	past, err := b.store.Recent(b.ctx, "u", start.Add(-72*time.Hour), 20)
	require.NoError(t, err)
	require.True(t, start.Add(-47*time.Hour).Equal(past[0].At))
}

func TestWhatUsersDidLongAgoIsForgottenByTheNextLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	latest := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	var all []vectorstore.Activity
	for user, days := range map[string]int{"today": 0, "a week ago": 7, "30 days ago": 30, "31 days ago": 31} {
		all = append(all, vectorstore.Activity{User: user, EventID: "s:1", HappenedAt: latest.AddDate(0, 0, -days), Items: []vectorstore.Seen{{Item: "a", Quantity: 1}}})
	}
	require.NoError(t, b.store.RecordActivity(b.ctx, all))
	b.load(t, "2")
	require.Equal(t, []string{"30 days ago", "a week ago", "today"}, b.column(t, `select user_id from millrace.user_activity order by user_id`))
}

// A user's events come over several shards (a stream is split and merged while they happen), in batches that are cut anywhere, repeated
// from anywhere, and delivered in any order between shards.
func TestFinalStateIsThatOfTheOrderedRun(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	shards := make([][]vectorstore.Activity, 3)
	var ordered []vectorstore.Activity
	for n := range 400 {
		shard := random.IntN(len(shards))
		a := vectorstore.Activity{
			User: fmt.Sprint("user ", random.IntN(5)), Session: fmt.Sprint("session ", random.IntN(12)),
			EventID:    fmt.Sprintf("shardId-%012d:4966%d:%d", shard, 1000+n/20, n%20),
			HappenedAt: start.Add(time.Duration(n/7) * time.Second), // several of one moment
			Items:      []vectorstore.Seen{{Item: fmt.Sprint(n), Quantity: 1}},
		}
		ordered, shards[shard] = append(ordered, a), append(shards[shard], a)
	}
	state := `select user_id || ' ' || event_id || ' ' || session_id || ' ' || happened_at::text || items::text from millrace.user_activity order by 1`
	remembered := func(b bundle) (all [][]vectorstore.Past) {
		for n := range 5 {
			past, err := b.store.Recent(b.ctx, fmt.Sprint("user ", n), start, 20)
			require.NoError(t, err)
			all = append(all, past)
		}
		return all
	}
	one := setup(t)
	for _, a := range ordered {
		require.NoError(t, one.store.RecordActivity(one.ctx, []vectorstore.Activity{a}))
	}
	want, wantRemembered := one.column(t, state), remembered(one)
	for range 3 {
		b := setup(t)
		done := make([]int, len(shards))
		for left := len(ordered); left > 0; {
			shard := random.IntN(len(shards))
			rest := shards[shard][done[shard]:]
			if len(rest) == 0 {
				continue
			}
			batch := rest[:1+random.IntN(len(rest))]
			if len(batch) > 30 {
				batch = batch[:30]
			}
			batch = append([]vectorstore.Activity(nil), batch...)
			random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
			require.NoError(t, b.store.RecordActivity(b.ctx, batch))
			switch random.IntN(3) {
			case 0: // acknowledged
				done[shard] += len(batch)
				left -= len(batch)
			case 1: // partly: the rest is delivered again
				n := random.IntN(len(batch) + 1)
				done[shard] += n
				left -= n
			case 2: // killed after the effect: all of it again
			}
		}
		require.Equal(t, want, b.column(t, state))
		require.Equal(t, wantRemembered, remembered(b))
	}
}
