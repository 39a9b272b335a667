package foldin

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Entry is an item of a session, by its row, as the shop saw it.
type Entry struct {
	Row      int
	Quantity float64
	InCart   bool
	Age      time.Duration // of an earlier session; 0: of this one
}

// Weights say how much the items of a session count. 1 is an average interaction of training.
type Weights struct {
	View     float64 // of an item that was looked at (> 0)
	Cart     float64 // of one in the cart, which says more (> 0)
	Quantity float64 // times 1 + Quantity·ln(quantity): 0 counts ten pieces like one
	Decay    float64 // an item weighs so much of the one after it (0 < Decay ≤ 1): sessions drift
}

// halfLife is the time after which an earlier session's items weigh half: yesterday's visit still says what is wanted, last week's is known to
// the trained vector, if it led to anything.
const halfLife = 24 * time.Hour

// maxEntries bounds a session: what is further back says nothing of now, and a hostile history would cost its cube.
const maxEntries = 20

// Weigh gives a session's items their weights. Entries are in the order they happened, the latest last; an item that is there
// several times is counted once, with the sum. The result is in order of each item's last appearance.
func (w Weights) Weigh(entries []Entry) []Weighted {
	entries = entries[max(0, len(entries)-maxEntries):]
	var session []Weighted
	for n, e := range entries {
		weight := w.View
		if e.InCart {
			weight = w.Cart
		}
		weight *= 1 + w.Quantity*math.Log(max(1, e.Quantity))
		weight *= math.Exp2(-float64(max(0, e.Age)) / float64(halfLife))
		// Below this an item changes nothing, and its inverse would be no number.
		weight = max(1e-12, weight*math.Pow(w.Decay, float64(len(entries)-1-n)))
		if at := slices.IndexFunc(session, func(s Weighted) bool { return s.Row == e.Row }); at >= 0 {
			weight += session[at].Weight
			session = slices.Delete(session, at, at+1)
		}
		session = append(session, Weighted{e.Row, weight})
	}
	return session
}

// Heaviest is the position of the item that says most about a session: the greatest weight, the latest of equals.
// The session must not be empty.
func Heaviest(session []Weighted) int {
	best := 0
	for n := range session {
		if cmp.Compare(session[n].Weight, session[best].Weight) >= 0 {
			best = n
		}
	}
	return best
}
