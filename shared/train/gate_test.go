package train

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

func TestOnlyAModelThatIsSurelyBetterThanPopularityAndNotSurelyWorseThanTheActiveOnePasses(t *testing.T) {
	t.Parallel()
	sure := evaluate.Interval{Low: .01, High: .2}
	within, below := evaluate.Interval{Low: -.01, High: .2}, evaluate.Interval{Low: -.2, High: -.01}
	for name, c := range map[string]struct {
		change func(*model.Metrics)
		state  string
		says   string
	}{
		"sure":         {func(*model.Metrics) {}, lake.Candidate, "better than popularity: "},
		"perhaps":      {func(m *model.Metrics) { m.Gain.NDCGInterval = within }, lake.Rejected, "only within chance"},
		"lower recall": {func(m *model.Metrics) { m.Model.Recall = .1 }, lake.Rejected, "not better than popularity"},
		"lower ndcg":   {func(m *model.Metrics) { m.Model.NDCG = .1 }, lake.Rejected, "not better than popularity"},
		"perhaps worse than the active model": {func(m *model.Metrics) {
			m.Active = &model.Comparison{Version: "v1", Gain: evaluate.Difference{RecallInterval: within, NDCGInterval: within}}
		}, lake.Candidate, "not worse than the active model v1"},
		"surely lower recall than the active model": {func(m *model.Metrics) {
			m.Active = &model.Comparison{Version: "v1", Gain: evaluate.Difference{RecallInterval: below, NDCGInterval: within}}
		}, lake.Rejected, "worse than the active model v1: recall@10"},
		"surely lower ndcg than the active model": {func(m *model.Metrics) {
			m.Active = &model.Comparison{Version: "v1", Gain: evaluate.Difference{RecallInterval: within, NDCGInterval: below}}
		}, lake.Rejected, "worse than the active model v1: ndcg@10"},
	} {
		m := model.Metrics{
			Model: evaluate.Metrics{K: 10, Recall: .3, NDCG: .3, Users: 9}, Popularity: evaluate.Metrics{K: 10, Recall: .2, NDCG: .2},
			Gain: evaluate.Difference{NDCGInterval: sure},
		}
		c.change(&m)
		state, reason := decide(m)
		require.Equal(t, c.state, state, name)
		require.Contains(t, reason, c.says, name)
	}
}

func TestAModelOfWhichOnlyPopularityIsLeftIsRejected(t *testing.T) {
	t.Parallel()
	alive, gone := model.Entity{Embedding: []float32{0, 1e-3}}, model.Entity{Embedding: []float32{1e-16, 0}}
	require.Empty(t, vanished(model.Content{Items: []model.Entity{alive, alive}, Users: []model.Entity{alive}}))
	require.Equal(t, "the embeddings of 1 of 2 items and of 1 of 1 users have vanished: these interactions hold nothing beyond popularity",
		vanished(model.Content{Items: []model.Entity{alive, gone}, Users: []model.Entity{gone}}))
}
