package train

import (
	"fmt"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
)

// decide is the gate: a model that ranks no better than "most popular first" is not worth serving.
// Both figures must be better: recall alone can rise while the order within the list gets worse. And the gain in ndcg must be
// more than chance: with few users, a model of noise is ahead of popularity every other night.
func decide(ours, popular evaluate.Metrics, gain evaluate.Difference) (state, reason string) {
	figures := fmt.Sprintf("recall@%d %.4f (popularity %.4f), ndcg@%d %.4f (popularity %.4f), %d users",
		ours.K, ours.Recall, popular.Recall, ours.K, ours.NDCG, popular.NDCG, ours.Users)
	switch {
	case ours.Recall > popular.Recall && ours.NDCG > popular.NDCG && gain.NDCGInterval.Low > 0:
		return lake.Candidate, "better than popularity: " + figures
	case ours.Recall > popular.Recall && ours.NDCG > popular.NDCG:
		return lake.Rejected, fmt.Sprintf("better than popularity only within chance (95 %% interval of the gain in ndcg %+.4f … %+.4f): %s",
			gain.NDCGInterval.Low, gain.NDCGInterval.High, figures)
	}
	return lake.Rejected, "not better than popularity: " + figures
}
