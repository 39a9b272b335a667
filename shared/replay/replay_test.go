package replay_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/replay"
)

// echo recommends to everybody one item, named for itself; it knows user 103.
type echo struct {
	item string
	mu   sync.Mutex
	most int
}

func (m *echo) User(id string) *recommend.User {
	if id == "103" {
		return &recommend.User{}
	}
	return nil
}

func (m *echo) Records(itemField string, events []recommend.Event, now time.Time) ([]recommend.Record, error) {
	m.mu.Lock()
	m.most = max(m.most, len(events))
	m.mu.Unlock()
	answers := make([]recommend.Answer, len(events))
	for n, e := range events {
		strategy := recommend.Session
		if e.User != nil {
			strategy = recommend.KnownUser
		}
		answers[n] = recommend.Answer{Strategy: strategy, Items: []recommend.Item{{ID: m.item}}}
	}
	return recommend.Records("v-"+m.item, itemField, events, answers, now)
}

var _ replay.Model = (*echo)(nil)

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func shop(t *testing.T) dataset.Event {
	d, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	return d.Event
}

func view(user string) string {
	return fmt.Sprintf(`{"customer_number":%q,"browse_history":[{"product_code":"S1","quantity":1,"in_shopping_cart":false}],"note":"kept"}`, user)
}

func put(t *testing.T, store lake.Store, key, body string) {
	t.Helper()
	require.NoError(t, store.Put(t.Context(), key, strings.NewReader(body)))
}

func get(t *testing.T, store lake.Store, key string) string {
	t.Helper()
	body, _, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return string(text)
}

func everything(t *testing.T, store lake.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	keys, err := store.List(t.Context(), "")
	require.NoError(t, err)
	for _, key := range keys {
		all[key] = get(t, store, key)
	}
	return all
}

const first, second = "2026/11/22/09/activity-1-2026-11-22-09-59-58-u1", "2026/11/22/10/activity-1-2026-11-22-10-00-07-u2"

func setup(t *testing.T) *lake.Directory {
	store := lake.NewDirectory(t.TempDir())
	put(t, store, "activity/"+first, view("103")+"\n"+view("7")+"\r\n\nno event\n"+strings.Repeat("x", event.MaxBytes+10)+"\n"+view("8")) // without a line end
	put(t, store, "activity/"+second, view("9"))
	return store
}

func TestStoredActivityIsAnsweredByAnotherModel(t *testing.T) {
	t.Parallel()
	store := setup(t)
	before := everything(t, store)
	r, err := replay.Run(t.Context(), store, &echo{item: "a"}, "v-a", "try-1", shop(t), replay.Period{From: day, To: day.AddDate(0, 0, 1)})
	require.NoError(t, err)
	require.Equal(t, replay.Result{Name: "try-1", ModelVersion: "v-a", Objects: 2, Records: 4, Rejected: 2}, r)
	lines := strings.Split(strings.TrimSpace(get(t, store, "replay/try-1/recommendations/"+first)), "\n")
	require.Len(t, lines, 3)
	for n, line := range lines {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		require.Equal(t, "v-a", record["model_version"])
		require.Equal(t, "replay", record["variant"])
		require.Equal(t, "kept", record["note"])
		require.Equal(t, "2026-11-22T09:59:58Z", record["generated_at"], "when it would have been answered")
		require.Equal(t, fmt.Sprintf("activity/%s:%d", first, []int{1, 2, 6}[n]), record["event_id"])
		require.Equal(t, []string{"known_user", "session", "session"}[n], record["strategy"])
	}
	after := everything(t, store)
	for key, body := range before {
		require.Equal(t, body, after[key], "nothing else is touched")
	}
	for key := range after {
		require.True(t, before[key] != "" || strings.HasPrefix(key, "replay/try-1/"), key)
	}
}

func TestAReplayIsTheSameBytesWheneverItIsMadeAndGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	store := setup(t)
	whole := replay.Period{From: day, To: day.AddDate(0, 0, 1)}
	_, err := replay.Run(t.Context(), store, &echo{item: "a"}, "v-a", "x", shop(t), whole)
	require.NoError(t, err)
	want := everything(t, store)
	require.NoError(t, store.Delete(t.Context(), "replay/x/recommendations/"+first))
	r, err := replay.Run(t.Context(), store, &echo{item: "a"}, "v-a", "x", shop(t), whole)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 1, 3}, []int64{r.Objects, r.Before, r.Records})
	require.Equal(t, want, everything(t, store))
}

func TestOneNameIsOneVersion(t *testing.T) {
	t.Parallel()
	store := setup(t)
	whole := replay.Period{From: day, To: day.AddDate(0, 0, 1)}
	_, err := replay.Run(t.Context(), store, &echo{item: "a"}, "v-a", "x", shop(t), whole)
	require.NoError(t, err)
	_, err = replay.Run(t.Context(), store, &echo{item: "b"}, "v-b", "x", shop(t), whole)
	require.ErrorContains(t, err, "replay x is of model v-a, not of v-b: choose another name")
	for _, name := range []string{"", "../models", "a/b", "it's", ".x", strings.Repeat("x", 101)} {
		_, err = replay.Run(t.Context(), store, &echo{}, "v", name, shop(t), whole)
		require.ErrorContains(t, err, "want a name", name)
	}
}

func TestOnlyThePeriodIsReplayed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to time.Duration
		want     int64
	}{
		{9 * time.Hour, 10 * time.Hour, 1},
		{10 * time.Hour, 11 * time.Hour, 1},
		{9*time.Hour + 59*time.Minute + 58*time.Second, 10*time.Hour + 8*time.Second, 2},
		{9*time.Hour + 59*time.Minute + 59*time.Second, 10*time.Hour + 7*time.Second, 0},
		{11 * time.Hour, 24 * time.Hour, 0},
	} {
		r, err := replay.Run(t.Context(), setup(t), &echo{}, "v", "x", shop(t), replay.Period{From: day.Add(c.from), To: day.Add(c.to)})
		require.NoError(t, err)
		require.Equal(t, c.want, r.Objects, "%s to %s", c.from, c.to)
	}
}

func TestManyEventsAreAnsweredTogetherAndInOrder(t *testing.T) {
	t.Parallel()
	store := lake.NewDirectory(t.TempDir())
	var lines []string
	for n := range 100 {
		lines = append(lines, view(fmt.Sprint(n)))
	}
	put(t, store, "activity/"+first, strings.Join(lines, "\n"))
	m := &echo{item: "a"}
	_, err := replay.Run(t.Context(), store, m, "v-a", "x", shop(t), replay.Period{From: day, To: day.AddDate(0, 0, 1)})
	require.NoError(t, err)
	require.Equal(t, 32, m.most)
	for n, line := range strings.Split(strings.TrimSpace(get(t, store, "replay/x/recommendations/"+first)), "\n") {
		require.Contains(t, line, fmt.Sprintf(`"customer_number":"%d"`, n))
	}
}
