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

// Score fills one row of scores, one for each item, for each of the users: higher ranks first. It is called from several
// goroutines, for different users.
type Score func(users []int, scores [][]float32)

// One makes a Score of a function that scores for one user.
func One(score func(user int, scores []float32)) Score {
	return func(users []int, scores [][]float32) {
		for n, u := range users {
			score(u, scores[n])
		}
	}
}

// Rank measures the first k items of each user's ranking against the user's held-out items. Items in seen are masked.
// Equal scores rank by item number, the lower first. Users without held-out items are left out.
func Rank(ctx context.Context, score Score, seen, held als.Interactions, k int) (Result, error) {
	if seen.Users != held.Users || seen.Items != held.Items {
		return Result{}, fmt.Errorf("evaluate: seen is %d×%d but held-out is %d×%d", seen.Users, seen.Items, held.Users, held.Items)
	}
	return rank(ctx, questions{
		users: held.Users, items: held.Items, score: score, popularity: rowLengths(seen.Transpose()),
		masked: func(u int) []int32 { items, _ := seen.Row(u); return items },
		wanted: func(u int) []int32 { items, _ := held.Row(u); return items },
	}, k)
}

// Next measures a ranking of all items against the one item that came next in each of len(next) sessions; nothing is masked. An item
// beyond items, or -1, is one that cannot be found. seen gives items their popularity.
func Next(ctx context.Context, score Score, seen als.Interactions, next []int32, k int) (Result, error) {
	return rank(ctx, questions{
		users: len(next), items: seen.Items, score: score, popularity: rowLengths(seen.Transpose()),
		masked: func(int) []int32 { return nil },
		wanted: func(n int) []int32 { return next[n : n+1] },
	}, k)
}

// questions are what a ranking is asked.
type questions struct {
	users, items   int
	score          Score
	masked, wanted func(user int) []int32 // ascending
	popularity     []int                  // users of each item in the training data
}

// batchUsers are scored together: each row of item factors that is loaded serves all of them.
const batchUsers = 16

func rank(ctx context.Context, q questions, k int) (Result, error) {
	if k < 1 {
		return Result{}, fmt.Errorf("evaluate: k is %d, want at least 1", k)
	}
	var users []int
	for u := range q.users {
		if len(q.wanted(u)) > 0 {
			users = append(users, u)
		}
	}
	if len(users) == 0 {
		return Result{}, ErrNobody
	}
	r := Result{Metrics: Metrics{K: k, Users: len(users)}, users: make([]figures, len(users))}
	var (
		group   sync.WaitGroup
		next    atomic.Int64
		batches = (len(users) + batchUsers - 1) / batchUsers
		tallies = make([]tally, min(runtime.GOMAXPROCS(0), batches))
	)
	for n := range tallies {
		group.Go(func() {
			tallies[n].listed = make([]bool, q.items)
			scores := make([][]float32, batchUsers)
			for row := range scores {
				scores[row] = make([]float32, q.items)
			}
			best := newTop(k)
			for {
				b := int(next.Add(1)) - 1
				if b >= batches || ctx.Err() != nil {
					return
				}
				from := b * batchUsers
				batch := users[from:min(from+batchUsers, len(users))]
				q.score(batch, scores[:len(batch)])
				for row, u := range batch {
					list, wanted := best.of(scores[row], q.masked(u)), q.wanted(u)
					r.users[from+row] = measure(list, wanted, k)
					tallies[n].add(list, wanted, q.popularity)
				}
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	// Summed in user order after all are done: the same figures on any number of cores.
	r.Recall, r.NDCG, r.MRR = mean(r.users, figures.getRecall), mean(r.users, figures.getNDCG), mean(r.users, figures.getMRR)
	r.Precision = mean(r.users, func(f figures) float64 { return float64(f.hits) / float64(k) })
	r.HitRate = mean(r.users, func(f figures) float64 { return float64(min(1, f.hits)) })
	total := tallies[0]
	for _, t := range tallies[1:] {
		total.join(t)
	}
	r.Coverage, r.PopularityBias = total.coverage(), total.bias()
	return r, nil
}

// Result is Metrics with each user's part in them, for comparisons on the same users.
type Result struct {
	Metrics
	users []figures
}

// figures are one user's.
type figures struct {
	hits              int
	recall, ndcg, mrr float64
}

func (f figures) getRecall() float64 { return f.recall }
func (f figures) getNDCG() float64   { return f.ndcg }
func (f figures) getMRR() float64    { return f.mrr }

// measure compares a ranked list with the wanted items (ascending). Relevance is binary; the ideal ranking has
// min(k, wanted) relevant items in front; recall divides by all wanted items, as the published tables do.
func measure(list, wanted []int32, k int) (f figures) {
	var gain, ideal float64
	for rank, item := range list {
		if contains(wanted, item) {
			if f.hits == 0 {
				f.mrr = 1 / float64(rank+1)
			}
			f.hits++
			gain += discount(rank)
		}
	}
	for rank := range min(k, len(wanted)) {
		ideal += discount(rank)
	}
	f.recall, f.ndcg = float64(f.hits)/float64(len(wanted)), gain/ideal
	return f
}

// discount is 1/log₂(rank+2), rank counted from 0 (Järvelin, Kekäläinen 2002).
func discount(rank int) float64 { return 1 / math.Log2(float64(rank+2)) }

func mean(users []figures, value func(figures) float64) float64 {
	var s float64
	for _, f := range users {
		s += value(f)
	}
	return s / float64(len(users))
}

// tally counts over lists what is a figure of all of them together. Whole numbers: their sums do not depend on the order.
type tally struct {
	listed                              []bool // by item
	places, placesUsers, held, heldSeen int
}

func (t *tally) add(list, wanted []int32, popularity []int) {
	for _, i := range list {
		t.listed[i] = true
		t.placesUsers += popularity[i]
	}
	for _, i := range wanted {
		if i >= 0 && int(i) < len(popularity) {
			t.heldSeen += popularity[i]
		}
	}
	t.places, t.held = t.places+len(list), t.held+len(wanted)
}

func (t *tally) join(other tally) {
	for i, listed := range other.listed {
		t.listed[i] = t.listed[i] || listed
	}
	t.places, t.placesUsers = t.places+other.places, t.placesUsers+other.placesUsers
	t.held, t.heldSeen = t.held+other.held, t.heldSeen+other.heldSeen
}

func (t *tally) coverage() float64 {
	n := 0
	for _, listed := range t.listed {
		if listed {
			n++
		}
	}
	return float64(n) / float64(len(t.listed))
}

func (t *tally) bias() float64 {
	if t.places == 0 || t.heldSeen == 0 {
		return 0
	}
	return float64(t.placesUsers) / float64(t.places) / (float64(t.heldSeen) / float64(t.held))
}
