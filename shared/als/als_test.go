package als_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
)

// tastes draws users who belong to one of a few groups and mostly choose items of their group.
func tastes(t require.TestingT, seed uint64, users, items, each int) als.Interactions {
	random := rand.New(rand.NewPCG(seed, 1))
	var list []als.Interaction
	for u := range users {
		for range each {
			i := random.IntN(items)
			if random.Float64() < 0.8 {
				i = (i/4*4 + u%4) % items
			}
			list = append(list, als.Interaction{User: int32(u), Item: int32(i), Weight: 0.5 + random.Float32()})
		}
	}
	m, err := als.Collect(users, items, list)
	require.NoError(t, err)
	return m
}

func TestLossNeverRises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := tastes(t, rapid.Uint64().Draw(t, "data"), rapid.IntRange(1, 60).Draw(t, "users"),
			rapid.IntRange(1, 40).Draw(t, "items"), rapid.IntRange(1, 8).Draw(t, "each"))
		cfg := als.Config{
			Dimension: rapid.IntRange(1, 12).Draw(t, "d"), Epochs: 6, Seed: rapid.Uint64().Draw(t, "seed"),
			Alpha0: math.Pow(10, rapid.Float64Range(-3, 1).Draw(t, "log α0")),
			Lambda: math.Pow(10, rapid.Float64Range(-2, 0).Draw(t, "log λ")),
		}
		last := math.Inf(1)
		_, err := als.Train(context.Background(), m, cfg, func(e als.Epoch) {
			require.LessOrEqual(t, e.Loss, last*(1+1e-5), "epoch %d", e.Number) // 1e-5: float32 rounding at the minimum
			last = e.Loss
		})
		require.NoError(t, err)
	})
}

// TestRowIsTheMinimumOfTheLoss compares one user's solution with a dense float64 reference written from the formula:
// every pair of the row enters, the unobserved too, and the system is solved by Gaussian elimination.
func TestRowIsTheMinimumOfTheLoss(t *testing.T) {
	t.Parallel()
	const d = 7
	m := tastes(t, 5, 40, 30, 6)
	cfg := als.Config{Dimension: d, Epochs: 3, Alpha0: 0.05, Lambda: 0.02, Seed: 3}
	solver, err := als.NewSolver(m, cfg)
	require.NoError(t, err)
	for range 2 {
		_, err = solver.Epoch(t.Context())
		require.NoError(t, err)
	}
	items := append([]float32(nil), solver.Factors().Items...)
	_, err = solver.Epoch(t.Context()) // solves the users against exactly these items first
	require.NoError(t, err)

	for _, user := range []int{0, 17, 39} {
		a, b := make([][]float64, d), make([]float64, d)
		for i := range a {
			a[i] = make([]float64, d)
		}
		observed, weights := m.Row(user)
		weightOf := map[int]float64{}
		for k, i := range observed {
			weightOf[int(i)] = float64(weights[k])
		}
		for i := range m.Items {
			v := items[i*d : (i+1)*d]
			for r := range d {
				for c := range d {
					a[r][c] += (cfg.Alpha0 + weightOf[i]) * float64(v[r]) * float64(v[c])
				}
				b[r] += weightOf[i] * float64(v[r])
			}
		}
		for r := range d {
			a[r][r] += cfg.Lambda * (float64(len(observed)) + cfg.Alpha0*float64(m.Items))
		}
		want := eliminate(a, b)
		for r, x := range solver.Factors().User(user) {
			require.InDelta(t, want[r], float64(x), 1e-4, "user %d, component %d", user, r)
		}
	}
}

func eliminate(a [][]float64, b []float64) []float64 {
	n := len(b)
	for p := range n {
		for r := p + 1; r < n; r++ {
			f := a[r][p] / a[p][p]
			for c := p; c < n; c++ {
				a[r][c] -= f * a[p][c]
			}
			b[r] -= f * b[p]
		}
	}
	for r := n - 1; r >= 0; r-- {
		for c := r + 1; c < n; c++ {
			b[r] -= a[r][c] * b[c]
		}
		b[r] /= a[r][r]
	}
	return b
}

// TestSameSeedGivesSameBitsOnAnyNumberOfCores is not parallel: it changes the number of cores of the process.
func TestSameSeedGivesSameBitsOnAnyNumberOfCores(t *testing.T) {
	m := tastes(t, 9, 5000, 2500, 3) // more rows than the Gramian has parts of blocks
	cfg := als.Config{Dimension: 8, Epochs: 2, Alpha0: 0.01, Lambda: 0.01, Seed: 42}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	var lossOnOne float64
	one, err := als.Train(t.Context(), m, cfg, func(e als.Epoch) { lossOnOne = e.Loss })
	require.NoError(t, err)
	for _, cores := range []int{2, 3, 8} {
		runtime.GOMAXPROCS(cores)
		var loss float64
		many, err := als.Train(t.Context(), m, cfg, func(e als.Epoch) { loss = e.Loss })
		require.NoError(t, err)
		require.Equal(t, one, many, "%d cores", cores)
		require.Equal(t, lossOnOne, loss)
	}
	cfg.Seed++
	other, err := als.Train(t.Context(), m, cfg, nil)
	require.NoError(t, err)
	require.NotEqual(t, one, other)
}

func TestLossMatchesItsDefinition(t *testing.T) {
	t.Parallel()
	m, err := als.Collect(2, 2, []als.Interaction{{User: 0, Item: 0, Weight: 2}, {User: 1, Item: 1, Weight: 1}})
	require.NoError(t, err)
	f := als.Factors{Dimension: 1, Users: []float32{1, 2}, Items: []float32{0.5, 1}}
	// observed: 2(1−½)² + 1(1−2)² = 1.5; all pairs: ¼ + 1 + 1 + 4 = 6.25; every row has 1 + 0.1·2 = 1.2, norms 1+4+¼+1
	want := 1.5 + 0.1*6.25 + 0.01*1.2*6.25
	require.InDelta(t, want, als.Loss(m, f, als.Config{Alpha0: 0.1, Lambda: 0.01}), 1e-6)
}

func TestGramianIsTheProductOfTheMatrixWithItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows, d := rapid.IntRange(0, 400).Draw(t, "rows"), rapid.IntRange(1, 9).Draw(t, "d")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		matrix := make([]float32, rows*d)
		for k := range matrix {
			matrix[k] = random.Float32()
		}
		got := als.Gramian(matrix, d)
		for i := range d {
			for j := range d {
				var want float64
				for r := range rows {
					want += float64(matrix[r*d+i]) * float64(matrix[r*d+j])
				}
				require.InEpsilon(t, want+1, float64(got[i*d+j])+1, 1e-5)
			}
		}
	})
}

func TestRepeatedPairsAreSummedInAnyOrder(t *testing.T) {
	t.Parallel()
	const big = 1 << 27 // float32 steps by 16 here: 3+3+3 is lost if the big weight comes first
	list := []als.Interaction{{User: 1, Item: 2, Weight: 3}, {User: 0, Item: 1, Weight: 3}, {User: 1, Item: 2, Weight: 3}, {User: 1, Item: 0, Weight: 1}, {User: 1, Item: 2, Weight: 3}, {User: 1, Item: 2, Weight: big}}
	m, err := als.Collect(2, 3, list)
	require.NoError(t, err)
	require.Equal(t, 3, m.Len())
	items, weights := m.Row(1)
	require.Equal(t, []int32{0, 2}, items)
	require.Equal(t, []float32{1, big + 16}, weights)
	require.Equal(t, m, m.Transpose().Transpose())
	require.InDelta(t, (3+1+big+16)/3., m.MeanWeight(), 1e-3)
	_, scaled := m.Scaled(2).Row(0)
	require.Equal(t, []float32{1.5}, scaled)
	_, weights = m.Row(0)
	require.Equal(t, []float32{3}, weights, "scaling leaves the original alone")
	slices.Reverse(list)
	reversed, err := als.Collect(2, 3, list)
	require.NoError(t, err)
	require.Equal(t, m, reversed)
}

func TestUnusableInputIsNamed(t *testing.T) {
	t.Parallel()
	for name, weight := range map[string]float32{"NaN": float32(math.NaN()), "negative": -1, "zero": 0, "infinite": float32(math.Inf(1))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := als.Collect(5, 5, []als.Interaction{{User: 3, Item: 4, Weight: weight}})
			var bad *als.WeightError
			require.ErrorAs(t, err, &bad)
			require.Contains(t, err.Error(), "user 3 with item 4")
		})
	}
	_, err := als.Collect(5, 5, []als.Interaction{{User: 5, Item: 0, Weight: 1}})
	var outside *als.IndexError
	require.ErrorAs(t, err, &outside)

	good := als.Config{Dimension: 2, Epochs: 1, Alpha0: 1, Lambda: 1}
	empty, err := als.Collect(5, 5, nil)
	require.NoError(t, err)
	_, err = als.Train(t.Context(), empty, good, nil)
	require.ErrorIs(t, err, als.ErrEmpty)

	m := tastes(t, 1, 5, 5, 2)
	_, err = als.Train(t.Context(), m, als.Config{Epochs: 1, Lambda: math.NaN()}, nil)
	var bad *als.ConfigError
	require.ErrorAs(t, err, &bad)
	for _, setting := range []string{"dimension is 0", "alpha0 is 0", "lambda is NaN"} {
		require.ErrorContains(t, err, setting) // every problem at once
	}
}

func TestTrainingStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	epochs := 0
	_, err := als.Train(ctx, tastes(t, 1, 50, 50, 5), als.Config{Dimension: 4, Epochs: 100, Alpha0: 0.1, Lambda: 0.1}, func(als.Epoch) {
		epochs++
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, epochs)
}

func TestRowsWithoutInteractionsStayZero(t *testing.T) {
	t.Parallel()
	m, err := als.Collect(3, 3, []als.Interaction{{User: 0, Item: 0, Weight: 1}, {User: 2, Item: 0, Weight: 1}})
	require.NoError(t, err)
	f, err := als.Train(t.Context(), m, als.Config{Dimension: 2, Epochs: 2, Alpha0: 0.1, Lambda: 0.1}, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0, 0}, f.User(1))
	require.Equal(t, []float32{0, 0}, f.Item(2))
	require.NotEqual(t, []float32{0, 0}, f.Item(0))
}
