// Package topk keeps the best few of many scored rows.
package topk

import "math"

// Scored is a row with its score.
type Scored struct {
	Row   int
	Score float32
}

// before says whether a ranks before b: by score, and of equal ones the lower row.
func before(a, b Scored) bool { return a.Score > b.Score || a.Score == b.Score && a.Row < b.Row }

// List holds the best rows that were offered, best first. The zero value keeps none; Reset says how many.
type List struct {
	// Accept refuses rows, if set. It is asked only about rows that would be kept.
	Accept func(row int) bool
	// Category and PerCategory bound how many rows of a category are kept, if PerCategory is above zero: the list is then what going
	// through all rows, best first, and skipping those of a full category would give. A category below zero has no bound.
	Category    []int32
	PerCategory int

	k    int
	best []Scored
}

// Reset empties the list, to keep k rows without a filter.
func (l *List) Reset(k int) {
	*l = List{k: max(0, k), best: l.best[:0]}
}

// Best is the list, best first. It is valid until the next change.
func (l *List) Best() []Scored { return l.best }

// OfferAll offers rows from, from+1, … with their scores. Nearly all of them fail one comparison.
func (l *List) OfferAll(from int, scores []float32) {
	for n := 0; n < len(scores); n++ {
		if len(l.best) == l.k {
			worst := float32(math.Inf(1))
			if l.k > 0 {
				worst = l.best[l.k-1].Score
			}
			for n < len(scores) && !(scores[n] >= worst) {
				n++
			}
			if n == len(scores) || l.k == 0 {
				return
			}
		}
		l.Offer(from+n, scores[n])
	}
}

// Offer offers one row, in any order; a row must not be offered twice. A score that is not a number ranks last.
func (l *List) Offer(row int, score float32) {
	s := Scored{row, score}
	if math.IsNaN(float64(score)) {
		s.Score = float32(math.Inf(-1))
	}
	full := len(l.best) == l.k
	if l.k == 0 || full && !before(s, l.best[l.k-1]) || l.Accept != nil && !l.Accept(row) {
		return
	}
	switch at, limited := l.leastOfFullCategory(row); {
	case limited && !before(s, l.best[at]):
		return
	case limited:
		l.best = append(l.best[:at], l.best[at+1:]...)
	case full:
		// Whatever leaves here has k better ones that could be kept together, so it cannot come back.
		l.best = l.best[:l.k-1]
	}
	l.best = append(l.best, s)
	at := len(l.best) - 1
	for ; at > 0 && before(s, l.best[at-1]); at-- {
		l.best[at] = l.best[at-1]
	}
	l.best[at] = s
}

// leastOfFullCategory finds the last of the list that is of row's category, if there are as many as may be.
func (l *List) leastOfFullCategory(row int) (at int, full bool) {
	if l.PerCategory < 1 || l.Category[row] < 0 {
		return 0, false
	}
	count := 0
	for n, s := range l.best {
		if l.Category[s.Row] == l.Category[row] {
			at = n
			count++
		}
	}
	return at, count >= l.PerCategory
}
