package train

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/foldin"
)

// foldAll folds every prefix in on all cores; the rows of the result are the questions'.
func foldAll(space *foldin.Space, prior []float32, decay float64, questions []question) ([]float32, error) {
	d := len(prior)
	vectors := make([]float32, len(questions)*d)
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
				user, err := space.Fold(prior, weigh(questions[n].prefix, decay))
				if err != nil {
					once.Do(func() { first = err })
					return
				}
				copy(vectors[n*d:], user.Vector)
			}
		})
	}
	group.Wait()
	return vectors, first
}

// weigh gives each item of a prefix decay times the weight of the one after it; an item that is there twice the sum.
func weigh(prefix []int32, decay float64) []foldin.Weighted {
	var list []foldin.Weighted
	place := map[int32]int{}
	for n, item := range prefix {
		weight := math.Pow(decay, float64(len(prefix)-1-n))
		if weight < leastWeight || item < 0 {
			continue
		}
		at, twice := place[item]
		if !twice {
			at = len(list)
			place[item], list = at, append(list, foldin.Weighted{Row: int(item)})
		}
		list[at].Weight += weight
	}
	return list
}

// leastWeight of an item, beside 1 of the latest, changes nothing in a list of 20.
const leastWeight = 1e-6
