package train

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/foldin"
)

// folded folds every prefix in, on all cores, as serving does for a user of whom nothing else is known, and scores by the result.
func folded(space *foldin.Space, prior []float32, decay float64, questions []question) (evaluate.Score, error) {
	d := len(prior)
	vectors, sessions := make([]float32, len(questions)*d), make([][]foldin.Weighted, len(questions))
	weights := foldin.Weights{View: 1, Cart: 1, Decay: decay}
	var (
		group sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(questions) {
					return
				}
				entries := make([]foldin.Entry, len(questions[n].prefix))
				for k, i := range questions[n].prefix {
					entries[k].Row = int(i)
				}
				sessions[n] = weights.Weigh(entries)
				user, err := space.Fold(prior, sessions[n])
				if err != nil {
					once.Do(func() { first = err })
					return
				}
				copy(vectors[n*d:], user.Vector)
			}
		})
	}
	group.Wait()
	if first != nil {
		return nil, first
	}
	items := make([]float32, 0, space.Items.Len()*d)
	for i := range space.Items.Len() {
		items = append(items, space.Items.Row(i)...)
	}
	products := evaluate.Factors(als.Factors{Dimension: d, Users: vectors, Items: items})
	return func(batch []int, scores [][]float32) {
		products(batch, scores)
		for row, n := range batch {
			space.AddTogether(scores[row], sessions[n])
		}
	}, nil
}
