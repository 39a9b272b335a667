package evaluate

import (
	"math"
	"slices"
)

// top keeps the k best items of one ranking: a heap with the worst of them at the root.
type top struct {
	k      int
	item   []int32
	scores []float32
}

func newTop(k int) *top { return &top{k: k, item: make([]int32, 0, k)} }

// of returns the k best items, best first, without the masked ones (ascending). A score that is not a number ranks last.
// The result is valid until the next call.
func (t *top) of(scores []float32, masked []int32) []int32 {
	t.item, t.scores = t.item[:0], scores
	for i := range scores {
		if math.IsNaN(float64(scores[i])) {
			scores[i] = float32(math.Inf(-1))
		}
		full := len(t.item) == t.k
		if full && !t.better(int32(i), t.item[0]) || contains(masked, int32(i)) {
			continue
		}
		if full {
			t.item[0] = int32(i)
			t.down(0)
			continue
		}
		t.item = append(t.item, int32(i))
		if len(t.item) == t.k {
			for n := t.k/2 - 1; n >= 0; n-- {
				t.down(n)
			}
		}
	}
	slices.SortFunc(t.item, func(a, b int32) int {
		if t.better(a, b) {
			return -1
		}
		return 1
	})
	return t.item
}

func (t *top) better(a, b int32) bool {
	if t.scores[a] != t.scores[b] {
		return t.scores[a] > t.scores[b]
	}
	return a < b
}

func (t *top) down(n int) {
	for {
		worst := n
		for child := 2*n + 1; child <= 2*n+2 && child < len(t.item); child++ {
			if t.better(t.item[worst], t.item[child]) {
				worst = child
			}
		}
		if worst == n {
			return
		}
		t.item[n], t.item[worst] = t.item[worst], t.item[n]
		n = worst
	}
}

func contains(ascending []int32, item int32) bool {
	_, found := slices.BinarySearch(ascending, item)
	return found
}
