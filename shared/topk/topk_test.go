package topk_test

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/topk"
)

// brute goes through all rows, best first.
func brute(scores []float32, k int, skip map[int]bool, category []int32, perCategory int) (list []topk.Scored) {
	var all []topk.Scored
	for row, s := range scores {
		if !skip[row] {
			all = append(all, topk.Scored{Row: row, Score: s})
		}
	}
	slices.SortStableFunc(all, func(a, b topk.Scored) int { return cmp.Compare(b.Score, a.Score) })
	count := map[int32]int{}
	for _, s := range all {
		if len(list) == k {
			break
		}
		c := category[s.Row]
		if perCategory > 0 && c >= 0 && count[c] == perCategory {
			continue
		}
		count[c]++
		list = append(list, s)
	}
	return list
}

func TestTheListIsWhatSortingEverythingAndFilteringGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "n")
		// Few different scores: ties are the rule.
		scores := rapid.SliceOfN(rapid.Map(rapid.IntRange(-4, 4), func(x int) float32 { return float32(x) }), n, n).Draw(t, "scores")
		category := rapid.SliceOfN(rapid.Int32Range(-1, 4), n, n).Draw(t, "category")
		k, perCategory := rapid.IntRange(0, 12).Draw(t, "k"), rapid.IntRange(0, 4).Draw(t, "per category")
		skip := map[int]bool{}
		for _, row := range rapid.SliceOf(rapid.IntRange(0, 60)).Draw(t, "skip") {
			skip[row] = true
		}
		want := brute(scores, k, skip, category, perCategory)
		configure := func(l *topk.List) {
			l.Reset(k)
			l.Accept = func(row int) bool { return !skip[row] }
			l.Category, l.PerCategory = category, perCategory
		}
		var list topk.List
		configure(&list)
		cut := rapid.IntRange(0, n).Draw(t, "cut")
		list.OfferAll(0, scores[:cut])
		list.OfferAll(cut, scores[cut:])
		require.Equal(t, want, append([]topk.Scored(nil), list.Best()...))

		configure(&list)
		list.OfferAll(cut, scores[cut:])
		list.OfferAll(0, scores[:cut])
		require.Equal(t, want, append([]topk.Scored(nil), list.Best()...), "the later part first")

		configure(&list)
		for _, row := range rapid.Permutation(slices.Collect(func(yield func(int) bool) {
			for row := range n {
				if !yield(row) {
					return
				}
			}
		})).Draw(t, "order") {
			list.Offer(row, scores[row])
		}
		require.Equal(t, want, append([]topk.Scored(nil), list.Best()...), "in any order")
	})
}

func TestWhatIsNotANumberRanksLast(t *testing.T) {
	t.Parallel()
	var list topk.List
	nan := float32(math.NaN())
	list.Reset(2)
	list.OfferAll(0, []float32{nan, -1, nan, 3})
	require.Equal(t, []topk.Scored{{Row: 3, Score: 3}, {Row: 1, Score: -1}}, list.Best())
	list.Reset(3)
	list.OfferAll(0, []float32{nan, -1, nan})
	require.Equal(t, []int{1, 0, 2}, []int{list.Best()[0].Row, list.Best()[1].Row, list.Best()[2].Row})
}
