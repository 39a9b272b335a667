package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/hitrate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
	"github.com/millrace/millrace/shared/vectorstore"
)

func TestAPeriodIsOfDaysOrTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	from, to, err := parsePeriod("", "", now)
	require.NoError(t, err)
	require.True(t, from.IsZero())
	require.Equal(t, now, to)
	from, to, err = parsePeriod("2026-11-20", "2026-11-21T09:30:00+01:00", now)
	require.NoError(t, err)
	require.Equal(t, []string{"2026-11-20T00:00:00Z", "2026-11-21T08:30:00Z"}, []string{from.Format(time.RFC3339), to.UTC().Format(time.RFC3339)})
	for _, bad := range [][2]string{{"yesterday", ""}, {"", "2026-11-32"}, {"2026-11-23", ""}, {"2026-11-22", "2026-11-22"}} {
		_, _, err = parsePeriod(bad[0], bad[1], now)
		require.Error(t, err, bad)
	}
}

func TestAnArmIsAVersionOrAReplay(t *testing.T) {
	t.Parallel()
	arm, err := parseArm("20261122T020000Z-0a1b2c3d")
	require.NoError(t, err)
	require.Equal(t, hitrate.Arm{Version: "20261122T020000Z-0a1b2c3d"}, arm)
	arm, err = parseArm("replay/try-1/")
	require.NoError(t, err)
	require.Equal(t, hitrate.Arm{Replay: "try-1"}, arm)
	_, err = parseArm("replay/a/b")
	require.ErrorContains(t, err, "want a name")
	for _, args := range [][]string{{"compare", "one"}, {"compare", "a", "b", "c"}, {"compare", "a", "b"}, {"replay"}, {"experiment", "start", "--control", "a"}, {"experiment", "weigh"}} {
		cmd := newCommand()
		cmd.SetArgs(args)
		require.Error(t, cmd.ExecuteContext(t.Context()), args)
	}
}

func TestAComparisonSaysWhatIsBeyondChance(t *testing.T) {
	t.Parallel()
	c := hitrate.Comparison{
		From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Window: 24 * time.Hour,
		Arms: [2]hitrate.Outcome{
			{Name: "control v1", Users: 900, Recommendations: 4000, Viewed: hitrate.Interval{Rate: .1, Low: .09, High: .11}},
			{Name: "treatment v2", Users: 100, Recommendations: 400, Viewed: hitrate.Interval{Rate: .15, Low: .12, High: .19}},
		},
		Viewed: hitrate.Interval{Rate: .05, Low: .02, High: .09},
	}
	var out bytes.Buffer
	printComparison(&out, c)
	require.Contains(t, out.String(), "2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z, looks within 24h0m0s")
	require.Contains(t, out.String(), "15.00 % (12.00 to 19.00)")
	require.Contains(t, out.String(), "Viewed: treatment v2 is ahead beyond chance.")
	require.Equal(t, "no difference beyond chance.", verdict(hitrate.Interval{Low: -1, High: 1}, "a", "b"))
	require.Equal(t, "a is ahead beyond chance.", verdict(hitrate.Interval{Low: -1, High: -.5}, "a", "b"))
}

func TestADryRunForetellsWhatWouldBeRejectedAgain(t *testing.T) {
	t.Parallel()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	store := lake.NewDirectory(t.TempDir())
	arrived := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for n, payload := range []string{`{"customer_number":103,"browse_history":[]}`, `{"customer_number":`} {
		e := quarantine.New([]string{"s-0:1", "s-0:2"}[n], "then", arrived, "k", "", []byte(payload))
		body := `{"event_id":"` + e.EventID + `","reason":"then","arrived_at":"2026-11-22T09:00:00Z","payload":` + quoted(payload) + `}`
		require.NoError(t, store.Put(t.Context(), e.Key(), strings.NewReader(body)))
	}
	list, err := redrive.Find(t.Context(), store, redrive.Selection{Prefixes: []string{quarantine.Root}, To: time.Now().AddDate(10, 0, 0)})
	require.NoError(t, err)
	(&stack{dataset: shop}).foretell(list)
	out := summarize(list)
	require.Equal(t, map[string]int{redrive.Waiting: 1, redrive.Again: 1}, out.Counts)
	var text bytes.Buffer
	out.print(&text, true)
	require.Contains(t, text.String(), "quarantine/recommender/dt=2026-11-22/s-0-2.json  1 event: not valid JSON")
	require.Contains(t, text.String(), "2 objects with 2 events. Of the objects 1 would be sent and answered, 1 be rejected again, 0 cannot be read")
	require.NoError(t, out.left(true), "nothing was sent yet")
}

func TestARedriveThatLeavesSomethingEndsWithAnError(t *testing.T) {
	t.Parallel()
	outcome := func(outcomes ...string) error {
		var list []*redrive.Object
		for _, o := range outcomes {
			list = append(list, &redrive.Object{Events: 1, Outcome: o})
		}
		return summarize(list).left(false)
	}
	require.NoError(t, outcome())
	require.NoError(t, outcome(redrive.Redriven, redrive.Redriven))
	require.Equal(t, rejectedEvents(2), outcome(redrive.Again, redrive.Redriven, redrive.Again), "exit status 2")
	for _, worse := range []string{redrive.Failed, redrive.Unread} {
		err := outcome(redrive.Again, worse)
		require.ErrorContains(t, err, "1 object could not be sent")
		require.NotErrorAs(t, err, new(rejectedEvents), "exit status 1")
	}
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

func TestAnExperimentIsShownWithItsShares(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	stopped := started.AddDate(0, 0, 2)
	e := &vectorstore.Experiment{N: 3, Control: "v1", Treatment: "v2", Weight: .1, StartedAt: started, By: "me"}
	var out bytes.Buffer
	printExperiment(&out, e)
	require.Equal(t, "Experiment 3, running since 2026-11-20T00:00:00Z\n  control     90.0 %  v1\n  treatment   10.0 %  v2\n  weight by me\n", out.String())
	e.StoppedAt, e.Ended = &stopped, "rolled back to v0"
	out.Reset()
	printExperiment(&out, e)
	require.Contains(t, out.String(), "2026-11-20T00:00:00Z to 2026-11-22T00:00:00Z, rolled back to v0")
	out.Reset()
	printExperiment(&out, nil)
	require.Contains(t, out.String(), "No experiment yet")
}
