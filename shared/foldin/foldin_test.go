package foldin_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/foldin"
)

const d = 6

func randomRows(random *rand.Rand, n int) []float32 {
	rows := make([]float32, n*d)
	for k := range rows {
		rows[k] = float32(random.NormFloat64())
	}
	return rows
}

func space(t require.TestingT, rows []float32) *foldin.Space {
	items, err := foldin.NewMatrix(rows, d)
	require.NoError(t, err)
	s, err := foldin.New(foldin.Loss{Dimension: d, Alpha0: 0.1, Lambda: 0.05, Items: items.Len(), Gramian: als.Gramian(rows, d)}, items)
	require.NoError(t, err)
	return s
}

func TestFoldingInAUsersInteractionsGivesTheTrainedVector(t *testing.T) {
	t.Parallel()
	// Training ends with the item side, so one more user step is what a fold-in must reproduce.
	random := rand.New(rand.NewPCG(1, 2))
	var pairs []als.Interaction
	for u := range int32(30) {
		for i := range int32(20) {
			if random.IntN(3) == 0 {
				pairs = append(pairs, als.Interaction{User: u, Item: i, Weight: 0.5 + random.Float32()})
			}
		}
	}
	m, err := als.Collect(30, 20, pairs)
	require.NoError(t, err)
	cfg := als.Config{Dimension: d, Epochs: 40, Alpha0: 0.1, Lambda: 0.05, Seed: 1}
	f, err := als.Train(context.Background(), m, cfg, nil)
	require.NoError(t, err)
	matrix, err := foldin.NewMatrix(f.Items, d)
	require.NoError(t, err)
	s, err := foldin.New(foldin.Loss{Dimension: d, Alpha0: cfg.Alpha0, Lambda: cfg.Lambda, Items: 20, Gramian: als.Gramian(f.Items, d)}, matrix)
	require.NoError(t, err)
	var session []foldin.Weighted
	columns, w := m.Row(3)
	for k, i := range columns {
		session = append(session, foldin.Weighted{Row: int(i), Weight: float64(w[k])})
	}
	u, err := s.Fold(make([]float32, d), session)
	require.NoError(t, err)
	for i := range 20 {
		require.InDelta(t, cholesky.Dot(f.User(3), f.Item(i)), cholesky.Dot(u.Vector, f.Item(i)), 0.02, "item %d", i)
	}
}

func TestEmptySessionReturnsThePrior(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	s := space(t, randomRows(random, 30))
	prior := randomRows(random, 1)
	u, err := s.Fold(prior, nil)
	require.NoError(t, err)
	require.InDeltaSlice(t, prior, u.Vector, 1e-5)
}

func TestPartsOfAnExplanationAddUpToTheScore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rows := randomRows(random, 25)
		s := space(t, rows)
		var session []foldin.Weighted
		for n := range rapid.IntRange(0, 8).Draw(t, "session") {
			session = append(session, foldin.Weighted{Row: n * 3, Weight: rapid.Float64Range(0.01, 10).Draw(t, "weight")})
		}
		u, err := s.Fold(randomRows(random, 1), session)
		require.NoError(t, err)
		row := rapid.IntRange(0, 24).Draw(t, "row")
		sum, parts := u.Explain(row)
		require.Len(t, parts, len(session))
		for _, p := range parts {
			sum += p
		}
		score := float64(cholesky.Dot(u.Vector, rows[row*d:(row+1)*d]))
		require.InDelta(t, score, sum, 1e-4*(1+math.Abs(score)))
	})
}

func TestSessionRaisesTheScoreOfWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	rows := randomRows(random, 30)
	s := space(t, rows)
	before, err := s.Fold(make([]float32, d), nil)
	require.NoError(t, err)
	light, err := s.Fold(make([]float32, d), []foldin.Weighted{{Row: 7, Weight: 1}})
	require.NoError(t, err)
	heavy, err := s.Fold(make([]float32, d), []foldin.Weighted{{Row: 7, Weight: 5}})
	require.NoError(t, err)
	item := s.Items.Row(7)
	require.Greater(t, cholesky.Dot(light.Vector, item), cholesky.Dot(before.Vector, item))
	require.Greater(t, cholesky.Dot(heavy.Vector, item), cholesky.Dot(light.Vector, item))
}

func TestTopIsWhatSortingEverythingGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		scores := rapid.SliceOfN(rapid.Float32Range(-2, 2), n, n).Draw(t, "scores")
		skip := rapid.SliceOf(rapid.IntRange(0, 40)).Draw(t, "skip")
		k := rapid.IntRange(0, 10).Draw(t, "k")
		var want []foldin.Scored
		for row, s := range scores {
			if !slices.Contains(skip, row) {
				want = append(want, foldin.Scored{Row: row, Score: s})
			}
		}
		slices.SortStableFunc(want, func(a, b foldin.Scored) int {
			switch {
			case a.Score > b.Score:
				return -1
			case a.Score < b.Score:
				return 1
			}
			return 0
		})
		want = want[:min(k, len(want))]
		got := foldin.Best(scores, k, skip)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i], got[i])
		}
	})
}

func TestNearestOrdersByCosineNotByLength(t *testing.T) {
	t.Parallel()
	m, err := foldin.NewMatrix([]float32{1, 0 /* the seed */, 100, 1, 1, 1, 0.1, 0, 0, 0, -1, 0}, 2)
	require.NoError(t, err)
	near := m.Nearest(0, 5, []int{0})
	var rows []int
	for _, s := range near {
		rows = append(rows, s.Row)
	}
	require.Equal(t, []int{3, 1, 2, 4, 5}, rows)
	require.InDelta(t, 0, near[0].Score, 1e-6)
	require.InDelta(t, 1-math.Sqrt2/2, near[2].Score, 1e-6)
	require.InDelta(t, 1, near[3].Score, 1e-6, "a row of zeros is similar to nothing")
	require.InDelta(t, 2, near[4].Score, 1e-6)
}

func TestMatrixRefusesWhatIsNotFinite(t *testing.T) {
	t.Parallel()
	_, err := foldin.NewMatrix([]float32{1, 2, 3, float32(math.NaN())}, 2)
	require.ErrorContains(t, err, "embedding 1 is not finite")
	_, err = foldin.NewMatrix([]float32{1, 2, 3}, 2)
	require.Error(t, err)
}

func TestRecentEntriesAndCartsWeighMore(t *testing.T) {
	t.Parallel()
	session := foldin.Weigh([]foldin.Entry{
		{Row: 1, Quantity: 1}, {Row: 2, Quantity: 1, InCart: true}, {Row: 3}, {Row: 4}, {Row: 5}, {Row: 1},
	})
	require.Len(t, session, 5)
	require.Equal(t, foldin.Weighted{Row: 1, Weight: 1 + math.Pow(0.4, 5)}, session[4], "seen twice: the sum, at its last place")
	require.Equal(t, 2, session[0].Row)
	require.InDelta(t, 3*math.Pow(0.4, 4), session[0].Weight, 1e-12)
	require.InDelta(t, 1+math.Log(10), foldin.Weigh([]foldin.Entry{{Row: 1, Quantity: 10}})[0].Weight, 1e-12)

	cart := foldin.Weigh([]foldin.Entry{{Row: 8}, {Row: 9, InCart: true}, {Row: 7}})
	require.Equal(t, 9, cart[foldin.Heaviest(cart)].Row, "in the cart, just before the last look")
	equal := []foldin.Weighted{{Row: 4, Weight: 1}, {Row: 5, Weight: 1}}
	require.Equal(t, 1, foldin.Heaviest(equal), "the latest of equals")

	long := make([]foldin.Entry, 500)
	for n := range long {
		long[n].Row = n
	}
	require.Len(t, foldin.Weigh(long), 20)
}
