package foldin_test

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/foldin"
)

const (
	d              = 6
	alpha0, lambda = 0.1, 0.05
)

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
	s, err := foldin.New(foldin.Loss{Dimension: d, Alpha0: alpha0, Lambda: lambda, Items: items.Len(), Gramian: als.Gramian(rows, d)}, items)
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
		s, session := space(t, rows), randomSession(t, 25)
		if rapid.Bool().Draw(t, "blend") {
			blend(t, random, s)
		}
		u, err := s.Fold(randomRows(random, 1), session)
		require.NoError(t, err)
		row := rapid.IntRange(0, 24).Draw(t, "row")
		sum, parts := u.Explain(row)
		require.Len(t, parts, len(session))
		for _, p := range parts {
			sum += p
		}
		score := float64(u.Score(row))
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

func TestTopIsWhatScoringEverythingAndSortingGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.IntRange(8, 300).Draw(t, "items")
		s := space(t, randomRows(random, n))
		if rapid.Bool().Draw(t, "blend") {
			blend(t, random, s)
		}
		for range 2 { // the second time in memory that was used
			var users []*foldin.User
			var choices []foldin.Choice
			for range rapid.IntRange(1, 9).Draw(t, "users") {
				u, err := s.Fold(randomRows(random, 1), randomSession(t, n))
				require.NoError(t, err)
				skip := rapid.IntRange(0, 6).Draw(t, "skip")
				users = append(users, u)
				choices = append(choices, foldin.Choice{
					Limit: rapid.IntRange(0, 12).Draw(t, "k"), Accept: func(row int) bool { return row%7 != skip },
				})
			}
			for who, got := range s.Top(users, choices) {
				u := users[who]
				var want []float32
				for row := range n {
					if choices[who].Accept(row) {
						want = append(want, u.Score(row))
					}
				}
				slices.SortFunc(want, func(a, b float32) int { return cmp.Compare(b, a) })
				want = want[:min(choices[who].Limit, len(want))]
				require.Len(t, got, len(want))
				for i := range want {
					require.True(t, choices[who].Accept(got[i].Row))
					require.InDelta(t, want[i], got[i].Score, 1e-4)
					require.InDelta(t, u.Score(got[i].Row), got[i].Score, 1e-4)
				}
			}
		}
	})
}

// blend gives the space co-occurrences of random sessions.
func blend(t require.TestingT, random *rand.Rand, s *foldin.Space) {
	var sessions [][]int32
	for range 20 {
		var session []int32
		for range 5 {
			session = append(session, random.Int32N(int32(s.Items.Len())))
		}
		sessions = append(sessions, session)
	}
	together, err := cooccurrence.Count(sessions, s.Items.Len())
	require.NoError(t, err)
	require.NoError(t, s.Blend(together, 1.5))
}

// randomSession has different items, sometimes more than dimensions.
func randomSession(t *rapid.T, n int) (session []foldin.Weighted) {
	for _, row := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(n, 3*d), rapid.ID[int]).Draw(t, "session") {
		session = append(session, foldin.Weighted{Row: row, Weight: rapid.Float64Range(0.001, 10).Draw(t, "weight")})
	}
	return session
}

func TestFoldSolvesTheSystemItPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		const n = 40
		rows := randomRows(random, n)
		s, prior, session := space(t, rows), randomRows(random, 1), randomSession(t, n)
		u, err := s.Fold(prior, session)
		require.NoError(t, err)
		gramian := als.Gramian(rows, d)
		for i := range d { // row i of (H + Σ w·v·vᵀ) u − H·p − Σ w·v
			var difference, size float64
			for j := range d {
				h := alpha0 * float64(gramian[i*d+j])
				if i == j {
					h += lambda * (float64(len(session)) + alpha0*n)
				}
				difference += h * (float64(u.Vector[j]) - float64(prior[j]))
				size += math.Abs(h * float64(prior[j]))
			}
			for _, seen := range session {
				v := s.Items.Row(seen.Row)
				var product float64
				for j := range d {
					product += float64(v[j]) * float64(u.Vector[j])
				}
				difference += seen.Weight * float64(v[i]) * (product - 1)
				size += math.Abs(seen.Weight * float64(v[i]))
			}
			require.InDelta(t, 0, difference, 1e-4*(1+size))
		}
	})
}

func TestBlendAddsTheSessionsCooccurrences(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	s := space(t, randomRows(random, 5))
	session := []foldin.Weighted{{Row: 0, Weight: 2}, {Row: 3, Weight: 1}}
	before, err := s.Fold(make([]float32, d), session)
	require.NoError(t, err)
	together, err := cooccurrence.Count([][]int32{{0, 1}, {3, 1}, {3, 4}}, 5)
	require.NoError(t, err)
	plain := make([]float32, 5)
	for row := range plain {
		plain[row] = before.Score(row)
	}
	require.NoError(t, s.Blend(together, 0.5))
	after, err := s.Fold(make([]float32, d), session)
	require.NoError(t, err)
	for row, added := range []float32{ // .5·2·strength(0→row) + .5·1·strength(3→row); each item is itself with strength 1
		1, together.Strength(0, 1) + .5*together.Strength(3, 1), 0, .5, .5 * together.Strength(3, 4),
	} {
		require.InDelta(t, plain[row]+added, after.Score(row), 1e-5)
	}
	added := slices.Clone(plain)
	s.AddTogether(added, session)
	for row := range added {
		require.InDelta(t, after.Score(row), added[row], 1e-5)
	}
	fewer, err := cooccurrence.Count(nil, 4)
	require.NoError(t, err)
	require.ErrorContains(t, s.Blend(fewer, 1), "do not fit 5 items")
	require.Error(t, s.Blend(together, math.NaN()))
	var foreign cooccurrence.Table
	for range 5 {
		require.NoError(t, foreign.Append([]int32{9}, []float32{1}))
	}
	require.ErrorContains(t, s.Blend(&foreign, 1), "item 9 of 5")
}

func TestNearestOrdersByCosineNotByLength(t *testing.T) {
	t.Parallel()
	m, err := foldin.NewMatrix([]float32{1, 0 /* the seed */, 100, 1, 1, 1, 0.1, 0, 0, 0, -1, 0}, 2)
	require.NoError(t, err)
	s, err := foldin.New(foldin.Loss{Dimension: 2, Alpha0: 1, Lambda: 1, Items: 1, Gramian: []float32{1, 0, 0, 1}}, m)
	require.NoError(t, err)
	near := s.Nearest([]int{4, 0}, []foldin.Choice{{}, {Limit: 5, Accept: func(row int) bool { return row != 0 }}})[1]
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

func TestALossWithoutRegularizationIsRefused(t *testing.T) {
	t.Parallel()
	m, err := foldin.NewMatrix([]float32{1, 0, 2, 0}, 2)
	require.NoError(t, err)
	loss := foldin.Loss{Dimension: 2, Alpha0: 1, Items: 2, Gramian: []float32{5, 0, 0, 0}}
	_, err = foldin.New(loss, m)
	require.ErrorIs(t, err, cholesky.ErrNotPositiveDefinite)
	loss.Lambda = 0.1
	s, err := foldin.New(loss, m)
	require.NoError(t, err)
	_, err = s.Fold([]float32{1}, nil)
	require.ErrorContains(t, err, "dimension 1 in a space of dimension 2")
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
	w := foldin.Weights{View: 1, Cart: 3, Quantity: 1, Decay: 0.4}
	session := w.Weigh([]foldin.Entry{
		{Row: 1, Quantity: 1}, {Row: 2, Quantity: 1, InCart: true}, {Row: 3}, {Row: 4}, {Row: 5}, {Row: 1},
	})
	require.Len(t, session, 5)
	require.Equal(t, foldin.Weighted{Row: 1, Weight: 1 + math.Pow(0.4, 5)}, session[4], "seen twice: the sum, at its last place")
	require.Equal(t, 2, session[0].Row)
	require.InDelta(t, 3*math.Pow(0.4, 4), session[0].Weight, 1e-12)
	require.InDelta(t, 1+math.Log(10), w.Weigh([]foldin.Entry{{Row: 1, Quantity: 10}})[0].Weight, 1e-12)
	equal := foldin.Weights{View: 2, Cart: 2, Decay: 1}.Weigh([]foldin.Entry{{Row: 1, Quantity: 10}, {Row: 2, InCart: true}})
	require.Equal(t, []foldin.Weighted{{Row: 1, Weight: 2}, {Row: 2, Weight: 2}}, equal)

	cart := w.Weigh([]foldin.Entry{{Row: 8}, {Row: 9, InCart: true}, {Row: 7}})
	require.Equal(t, 9, cart[foldin.Heaviest(cart)].Row, "in the cart, just before the last look")
	require.Equal(t, 1, foldin.Heaviest(equal), "the latest of equals")

	long := make([]foldin.Entry, 500)
	for n := range long {
		long[n].Row = n
	}
	require.Len(t, w.Weigh(long), 20)
}
