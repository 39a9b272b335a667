package evaluate

import (
	"slices"

	"github.com/millrace/millrace/shared/topk"
)

// top finds the k best items of one ranking after another.
type top struct {
	k     int
	list  topk.List
	items []int32
}

func newTop(k int) *top { return &top{k: k} }

// of returns the k best items, best first, without the masked ones (ascending). A score that is not a number ranks last.
// The result is valid until the next call.
func (t *top) of(scores []float32, masked []int32) []int32 {
	t.list.Reset(t.k)
	t.list.Accept = func(item int) bool { return !contains(masked, int32(item)) }
	t.list.OfferAll(0, scores)
	t.items = t.items[:0]
	for _, s := range t.list.Best() {
		t.items = append(t.items, int32(s.Row))
	}
	return t.items
}

func contains(ascending []int32, item int32) bool {
	_, found := slices.BinarySearch(ascending, item)
	return found
}
