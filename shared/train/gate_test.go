package train

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
)

func TestAGainWithinChanceIsNoProof(t *testing.T) {
	t.Parallel()
	ours, popular := evaluate.Metrics{K: 10, Recall: .3, NDCG: .3, Users: 9}, evaluate.Metrics{K: 10, Recall: .2, NDCG: .2}
	for name, c := range map[string]struct {
		ours  evaluate.Metrics
		low   float64
		state string
		says  string
	}{
		"sure":         {ours, .01, lake.Candidate, "better than popularity: "},
		"perhaps":      {ours, -.01, lake.Rejected, "only within chance"},
		"lower recall": {evaluate.Metrics{K: 10, Recall: .1, NDCG: .3}, .01, lake.Rejected, "not better than popularity"},
		"lower ndcg":   {evaluate.Metrics{K: 10, Recall: .3, NDCG: .1}, .01, lake.Rejected, "not better than popularity"},
	} {
		state, reason := decide(c.ours, popular, evaluate.Difference{NDCGInterval: evaluate.Interval{Low: c.low, High: .2}})
		require.Equal(t, c.state, state, name)
		require.Contains(t, reason, c.says, name)
	}
}
