package endtoend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/vectorstore"
)

// rejectedEventsAreRedriven rejects an event, mends it as an operator does, and sends it again to the deployed function.
func (s *system) rejectedEventsAreRedriven(t *testing.T) {
	ctx := t.Context()
	const session = "to-be-mended"
	s.put(`{"session_id":"` + session + `","customer_number":103,"browse_history":[{"product_code":"S18_1749","quantity":"many","in_shopping_cart":false}]}`)
	var file quarantine.Event
	find := func() bool {
		keys, err := s.lake.List(ctx, quarantine.Root)
		require.NoError(t, err)
		for _, key := range keys {
			body, _, err := s.lake.Get(ctx, key)
			require.NoError(t, err)
			text, err := io.ReadAll(body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			if file, err = quarantine.Parse(text); err == nil && strings.Contains(string(file.Data()), session) {
				return true
			}
		}
		return false
	}
	s.eventually("the event in quarantine", find)
	key := file.Key()
	var result struct {
		Counts  map[string]int
		Objects []struct{ Key, Outcome, Reason string }
	}
	s.millrace(&result, "redrive", "--dry-run", "--prefix", key)
	require.Equal(t, map[string]int{"rejected": 1}, result.Counts)
	s.millraceEnds(2, &result, "redrive", "--prefix", key)
	require.Equal(t, map[string]int{"rejected": 1}, result.Counts)
	require.Contains(t, result.Objects[0].Reason, "many")
	require.True(t, find(), "it stays")
	require.NotEmpty(t, file.Redrive)

	mended := strings.Replace(string(file.Data()), "many", "2", 1)
	file.Payload = &mended
	text, err := json.Marshal(file)
	require.NoError(t, err)
	require.NoError(t, s.lake.Put(ctx, file.Key(), strings.NewReader(string(text))))
	result.Counts = nil
	s.millrace(&result, "redrive", "--prefix", key)
	require.Equal(t, map[string]int{"redriven": 1}, result.Counts)
	s.eventually("its record", func() bool {
		r := bySession(s.lines(t, "recommendations/"), session)
		return r != nil && r["event_id"] == file.EventID
	})
	require.False(t, find())
	result.Counts = nil
	s.millrace(&result, "redrive", "--prefix", key)
	require.Empty(t, result.Counts, "once")
}

// trafficIsSplit runs an experiment of the active version and the previous one.
func (s *system) trafficIsSplit(t *testing.T, control, treatment string) {
	var e vectorstore.Experiment
	s.millrace(&e, "experiment", "start", "--control", control, "--treatment", treatment, "--weight", "0.5")
	require.Equal(t, []any{control, treatment, 0.5}, []any{e.Control, e.Treatment, e.Weight})
	versions := map[string]string{experiment.Active: control, experiment.Control: control, experiment.Treatment: treatment}
	send := func(name string, variant func(user string) string) {
		const users = 20
		var events []string
		for u := range users {
			events = append(events, fmt.Sprintf(`{"session_id":"%s-%d","customer_number":%d,"browse_history":[{"product_code":"S18_1749"}]}`, name, u, 100+u))
		}
		s.put(events...)
		var records []map[string]any
		s.eventually("records of "+name, func() bool {
			records = nil
			for _, r := range s.lines(t, "recommendations/") {
				if session, _ := r["session_id"].(string); strings.HasPrefix(session, name+"-") {
					records = append(records, r)
				}
			}
			return len(records) >= users
		})
		for _, r := range records {
			want := variant(fmt.Sprint(r["customer_number"]))
			require.Equal(t, []any{want, versions[want]}, []any{r["variant"], r["model_version"]})
		}
	}
	send("half", func(user string) string { return experiment.Assign(e.N, user, 0.5) })
	s.millrace(&e, "experiment", "weigh", "--weight", "1")
	send("all", func(string) string { return experiment.Treatment })
	s.millrace(&e, "experiment", "stop", "--reason", "seen enough")
	require.NotNil(t, e.StoppedAt)
	send("after", func(string) string { return experiment.Active })
	s.millrace(&e, "experiment", "status")
	require.Contains(t, e.Ended, "seen enough")
}

// activityIsReplayed runs what came today through a version, and finds the answers beside those that were given.
func (s *system) activityIsReplayed(t *testing.T, version string) {
	var result struct {
		Objects, Records, Rejected int
		Before                     int `json:"objects_before"`
	}
	from := time.Now().AddDate(0, 0, -1).UTC().Format(time.DateOnly)
	answered := len(s.lines(t, "recommendations/"))
	s.millrace(&result, "replay", "--from", from, "--model", version, "--name", "again")
	require.GreaterOrEqual(t, result.Records, 60)
	require.Positive(t, result.Rejected)
	records := s.lines(t, "replay/again/recommendations/")
	require.Len(t, records, result.Records)
	for _, r := range records {
		require.Equal(t, []any{version, experiment.Replay}, []any{r["model_version"], r["variant"]})
	}
	require.NotNil(t, bySession(records, "half-7"))
	require.Len(t, s.lines(t, "recommendations/"), answered, "nobody was answered")
	s.millrace(&result, "replay", "--from", from, "--model", version, "--name", "again")
	require.Zero(t, result.Records, "what is there already is left")
	require.Equal(t, len(records), result.Before, "the emulated Firehose writes an object for each event")
}
