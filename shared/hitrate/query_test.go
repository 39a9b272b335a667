package hitrate_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/hitrate"
)

var update = flag.Bool("update", false, "write the golden files anew")

var names = dataset.Event{User: "customer_number", History: "browse_history", Item: "product_code", InCart: "in_shopping_cart"}

func question() hitrate.Question {
	to := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return hitrate.Question{
		Arms: [2]hitrate.Arm{{Variant: experiment.Control, Version: "v1"}, {Replay: "try-1"}}, From: to.Add(-36 * time.Hour), To: to, Window: 24 * time.Hour,
	}
}

// The query runs in the end-to-end test; here it is to be read.
func TestTheQueryIsTheOneThatIsReviewed(t *testing.T) {
	t.Parallel()
	got := question().Query(names) + "\n"
	if *update {
		require.NoError(t, os.WriteFile("testdata/query.sql", []byte(got), 0o644))
	}
	want, err := os.ReadFile("testdata/query.sql")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestNamesCannotBecomeSQL(t *testing.T) {
	t.Parallel()
	q := question()
	q.Arms[0].Version, q.Arms[1].Replay = "v'; DROP TABLE x", "a'b"
	query := q.Query(dataset.Event{User: `us"er`, History: "h", Item: "i"})
	require.Contains(t, query, "model_version = 'v''; DROP TABLE x'")
	require.Contains(t, query, "replay = 'a''b'")
	require.Contains(t, query, `CAST("us""er" AS varchar)`)
	require.Zero(t, strings.Count(query, "'")%2)
	require.NotContains(t, query, "CASE WHEN entry", "a shop without a cart")
}
