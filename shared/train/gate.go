package train

import (
	"fmt"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
)

// decide is the gate: a model that ranks no better than "most popular first" is not worth serving.
// Both figures must be better: recall alone can rise while the order within the list gets worse.
func decide(ours, popular evaluate.Metrics) (state, reason string) {
	figures := fmt.Sprintf("recall@%d %.4f (popularity %.4f), ndcg@%d %.4f (popularity %.4f), %d users",
		ours.K, ours.Recall, popular.Recall, ours.K, ours.NDCG, popular.NDCG, ours.Users)
	if ours.Recall > popular.Recall && ours.NDCG > popular.NDCG {
		return lake.Candidate, "better than popularity: " + figures
	}
	return lake.Rejected, "not better than popularity: " + figures
}
