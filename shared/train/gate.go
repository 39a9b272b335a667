package train

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/embedding"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// decide is the gate: a model that ranks no better than "most popular first", or worse than the one that is served, is not worth serving.
// Over popularity both figures must be better: recall alone can rise while the order within the list gets worse. And the gain in ndcg
// must be more than chance: with few users, a model of noise is ahead of popularity every other night. Against the active model the proof
// is the other way round: tomorrow's customers and products are worth a loss that may be chance, but not one that is sure.
func decide(m model.Metrics) (state, reason string) {
	ours, popular := m.Model, m.Popularity
	figures := fmt.Sprintf("recall@%d %.4f (popularity %.4f), ndcg@%d %.4f (popularity %.4f), %d users",
		ours.K, ours.Recall, popular.Recall, ours.K, ours.NDCG, popular.NDCG, ours.Users)
	switch {
	case ours.Recall <= popular.Recall || ours.NDCG <= popular.NDCG:
		return lake.Rejected, "not better than popularity: " + figures
	case m.Gain.NDCGInterval.Low <= 0:
		return lake.Rejected, fmt.Sprintf("better than popularity only within chance (95 %% interval of the gain in ndcg %+.4f … %+.4f): %s",
			m.Gain.NDCGInterval.Low, m.Gain.NDCGInterval.High, figures)
	}
	if m.Active != nil {
		for _, loss := range []struct {
			name         string
			ours, theirs float64
			interval     evaluate.Interval
		}{
			{"recall", ours.Recall, m.Active.Model.Recall, m.Active.Gain.RecallInterval},
			{"ndcg", ours.NDCG, m.Active.Model.NDCG, m.Active.Gain.NDCGInterval},
		} {
			if loss.interval.High < 0 {
				return lake.Rejected, fmt.Sprintf("worse than the active model %s: %s@%d %.4f against %.4f on the same hold-out (95 %% interval of the difference %+.4f … %+.4f)",
					m.Active.Version, loss.name, ours.K, loss.ours, loss.theirs, loss.interval.Low, loss.interval.High)
			}
		}
		figures += fmt.Sprintf("; not worse than the active model %s (ndcg@%d %.4f)", m.Active.Version, ours.K, m.Active.Model.NDCG)
	}
	return lake.Candidate, "better than popularity: " + figures
}

// vanished says which embeddings are too short to be compared, "" if none is. A training that finds nothing in its interactions regularizes
// them all away, and its popularity term alone may still pass for a model.
func vanished(c model.Content) string {
	var parts []string
	for _, side := range []struct {
		name string
		list []model.Entity
	}{{"items", c.Items}, {"users", c.Users}} {
		n := 0
		for _, e := range side.list {
			if embedding.Check(e.Embedding) != nil {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %s", n, len(side.list), side.name))
		}
	}
	if parts == nil {
		return ""
	}
	return "the embeddings of " + strings.Join(parts, " and of ") + " have vanished: these interactions hold nothing beyond popularity"
}
