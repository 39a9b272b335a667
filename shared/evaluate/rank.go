// Package evaluate measures a ranking on held-out interactions: every item is ranked for every user, the user's
// training items are masked, nothing is sampled (Krichene, Rendle 2020, "On Sampled Metrics for Item Recommendation").
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/als"
)

// ErrNobody says that no user has a held-out item to be measured by.
var ErrNobody = errors.New("no user has held-out interactions")

// Score fills scores, one for each item: higher ranks first. It is called from several goroutines, for different users.
type Score func(user int, scores []float32)

// Rank measures the first k items of each user's ranking against the user's held-out items. Items in seen are masked.
// Equal scores rank by item number, the lower first. Users without held-out items are left out.
func Rank(ctx context.Context, score Score, seen, held als.Interactions, k int) (Result, error) {
	if seen.Users != held.Users || seen.Items != held.Items {
		return Result{}, fmt.Errorf("evaluate: seen is %d×%d but held-out is %d×%d", seen.Users, seen.Items, held.Users, held.Items)
	}
	if k < 1 {
		return Result{}, fmt.Errorf("evaluate: k is %d, want at least 1", k)
	}
	var users []int
	for u := range held.Users {
		if items, _ := held.Row(u); len(items) > 0 {
			users = append(users, u)
		}
	}
	if len(users) == 0 {
		return Result{}, ErrNobody
	}
	result := Result{
		Metrics: Metrics{K: k, Users: len(users)},
		recall:  make([]float64, len(users)), ndcg: make([]float64, len(users)), hit: make([]float64, len(users)),
	}
	var (
		group sync.WaitGroup
		next  atomic.Int64
	)
	for range min(runtime.GOMAXPROCS(0), len(users)) {
		group.Go(func() {
			scores := make([]float32, held.Items)
			best := newTop(k)
			for {
				n := int(next.Add(1)) - 1
				if n >= len(users) || ctx.Err() != nil {
					return
				}
				u := users[n]
				score(u, scores)
				masked, _ := seen.Row(u)
				wanted, _ := held.Row(u)
				list := best.of(scores, masked)
				result.recall[n], result.ndcg[n], result.hit[n] = measure(list, wanted, k)
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	// Summed in user order after all are done: the same figures on any number of cores.
	result.Recall, result.NDCG, result.HitRate = mean(result.recall), mean(result.ndcg), mean(result.hit)
	return result, nil
}

// Factors scores by the inner product of the embeddings.
func Factors(f als.Factors) Score {
	d := f.Dimension
	return func(user int, scores []float32) {
		u := f.User(user)
		for i := range scores {
			v := f.Items[i*d : (i+1)*d : (i+1)*d]
			var s0, s1 float32
			j := 0
			for ; j+2 <= len(v); j += 2 {
				s0 += u[j] * v[j]
				s1 += u[j+1] * v[j+1]
			}
			if j < len(v) {
				s0 += u[j] * v[j]
			}
			scores[i] = s0 + s1
		}
	}
}

// Popularity scores every item by the sum of its weights in m, the same for every user.
func Popularity(m als.Interactions) Score {
	sums := make([]float32, m.Items)
	for i, s := range WeightSums(m.Transpose()) {
		sums[i] = float32(s)
	}
	return func(_ int, scores []float32) { copy(scores, sums) }
}

// WeightSums returns the sum of the weights of each row of m.
func WeightSums(m als.Interactions) []float64 {
	sums := make([]float64, m.Users)
	for u := range sums {
		_, weights := m.Row(u)
		for _, w := range weights {
			sums[u] += float64(w)
		}
	}
	return sums
}

// measure compares a ranked list with the wanted items (ascending). Relevance is binary; the ideal ranking has
// min(k, wanted) relevant items in front; recall divides by all wanted items, as the published tables do.
func measure(list, wanted []int32, k int) (recall, ndcg, hit float64) {
	var hits int
	var gain, ideal float64
	for rank, item := range list {
		if contains(wanted, item) {
			hits++
			gain += discount(rank)
		}
	}
	for rank := range min(k, len(wanted)) {
		ideal += discount(rank)
	}
	if hits > 0 {
		hit = 1
	}
	return float64(hits) / float64(len(wanted)), gain / ideal, hit
}

// discount is 1/log₂(rank+2), rank counted from 0 (Järvelin, Kekäläinen 2002).
func discount(rank int) float64 { return 1 / math.Log2(float64(rank+2)) }

func mean(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}
