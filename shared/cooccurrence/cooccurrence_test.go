package cooccurrence_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/cooccurrence"
)

func TestStrengthsOfASmallCaseByHand(t *testing.T) {
	t.Parallel()
	// 0 occurs twice, 1 twice, 2 once, 3 never.
	table, err := cooccurrence.Count([][]int32{{0, 1, 2}, {1, 0}}, 4)
	require.NoError(t, err)
	require.Equal(t, 4, table.Len())
	for _, c := range []struct {
		from, to int
		sum      float64 // before division
		n        [2]float64
	}{
		{0, 1, 1 + .5, [2]float64{2, 2}}, // once just after, once just before
		{1, 0, .5 + 1, [2]float64{2, 2}},
		{0, 2, .5, [2]float64{2, 1}},
		{2, 0, .25, [2]float64{1, 2}},
		{1, 2, 1, [2]float64{2, 1}},
		{2, 1, .5, [2]float64{1, 2}},
	} {
		require.InDelta(t, c.sum/math.Sqrt((c.n[0]+1)*(c.n[1]+1)), table.Strength(c.from, c.to), 1e-7, "%d→%d", c.from, c.to)
	}
	items, _ := table.Row(0)
	require.Equal(t, []int32{1, 2}, items, "strongest first")
	items, _ = table.Row(3)
	require.Empty(t, items)
	require.EqualValues(t, 1, table.Strength(3, 3))
	require.Zero(t, table.Strength(3, 0))
}

func TestOrderOfSessionsChangesNothingAndEachItemKeepsItsStrongest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sessions := rapid.SliceOf(rapid.SliceOf(rapid.Int32Range(0, 80))).Draw(t, "sessions")
		one, err := cooccurrence.Count(sessions, 81)
		require.NoError(t, err)
		another, err := cooccurrence.Count(rapid.Permutation(sessions).Draw(t, "order"), 81)
		require.NoError(t, err)
		for i := range 81 {
			items, strengths := one.Row(i)
			_, same := another.Row(i)
			require.LessOrEqual(t, len(items), 50)
			require.InDeltaSlice(t, strengths, same, 1e-6)
			for k, s := range strengths {
				require.Positive(t, s)
				require.NotEqual(t, int32(i), items[k])
				require.True(t, k == 0 || s <= strengths[k-1])
			}
		}
	})
}

func TestATableIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	written, err := cooccurrence.Count([][]int32{{0, 1, 2, 0}, {4, 1}}, 5)
	require.NoError(t, err)
	var read cooccurrence.Table
	for i := range written.Len() {
		require.NoError(t, read.Append(written.Row(i)))
	}
	require.Equal(t, written, &read)
	require.Error(t, read.Append([]int32{1}, nil))
	require.Error(t, read.Append([]int32{1}, []float32{float32(math.NaN())}))
	_, err = cooccurrence.Count([][]int32{{0, 7}}, 5)
	require.ErrorContains(t, err, "session 0 has item 7 of 5")
}
