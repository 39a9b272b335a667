package als_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/kernel"
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
			Kernel: rapid.SampledFrom(kernel.Available()).Draw(t, "kernel"),
		}
		last := math.Inf(1)
		_, err := als.Train(context.Background(), m, cfg, func(e als.Epoch) {
			require.LessOrEqual(t, e.Loss, last*(1+1e-4), "epoch %d", e.Number) // 1e-4: float32 rounding at the minimum
			last = e.Loss
		})
		require.NoError(t, err)
	})
}

// denseLoss is the loss written from its formula: every pair enters, the unobserved too, in float64.
func denseLoss(m als.Interactions, users, items []float64, cfg als.Config) float64 {
	d, loss := cfg.Dimension, 0.
	perItem := make([]float64, m.Items)
	for u := range m.Users {
		observed, weights := m.Row(u)
		k, norm := 0, 0.
		for i := range m.Items {
			var x float64
			for j := range d {
				x += users[u*d+j] * items[i*d+j]
			}
			loss += cfg.Alpha0 * x * x
			if k < len(observed) && int(observed[k]) == i {
				loss += float64(weights[k]) * (1 - x) * (1 - x)
				perItem[i]++
				k++
			}
		}
		for j := range d {
			norm += users[u*d+j] * users[u*d+j]
		}
		loss += cfg.Lambda * (float64(len(observed)) + cfg.Alpha0*float64(m.Items)) * norm
	}
	for i, n := range perItem {
		for j := range d {
			loss += cfg.Lambda * (n + cfg.Alpha0*float64(m.Users)) * items[i*d+j] * items[i*d+j]
		}
	}
	return loss
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for k, v := range x {
		out[k] = float64(v)
	}
	return out
}

// TestSolvedRowsAreTheMinimumOfTheLoss: the items are solved last, so along any change of them the loss has slope zero and rises.
// Rows shorter and longer than d, one that holds most of the work, none at all, and d above the number of rows take different ways.
func TestSolvedRowsAreTheMinimumOfTheLoss(t *testing.T) {
	t.Parallel()
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := skewed(t, rapid.Uint64().Draw(t, "data"), rapid.IntRange(1, 90).Draw(t, "users"), rapid.IntRange(1, 40).Draw(t, "items"))
				cfg := als.Config{
					Dimension: rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(30, 70)).Draw(t, "d"),
					Epochs:    rapid.IntRange(1, 3).Draw(t, "epochs"), Seed: rapid.Uint64().Draw(t, "seed"), Kernel: set,
					Alpha0: math.Pow(10, rapid.Float64Range(-3, 0).Draw(t, "log α0")),
					Lambda: math.Pow(10, rapid.Float64Range(-2, 0).Draw(t, "log λ")),
				}
				var reported float64
				f, err := als.Train(context.Background(), m, cfg, func(e als.Epoch) { reported = e.Loss })
				require.NoError(t, err)
				users, items := wide(f.Users), wide(f.Items)
				least := denseLoss(m, users, items, cfg)
				require.InEpsilon(t, least, reported, 1e-4, "the loss that comes with the solution")
				require.InEpsilon(t, least, als.Loss(m, f, cfg), 1e-5)

				random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "direction"), 0))
				direction, moved := make([]float64, len(items)), make([]float64, len(items))
				var size, length float64
				for k, x := range items {
					direction[k] = random.NormFloat64()
					size, length = size+x*x, length+direction[k]*direction[k]
				}
				along := func(step float64) float64 {
					for k := range items {
						moved[k] = items[k] + step*math.Sqrt((size+1e-6)/length)*direction[k]
					}
					return denseLoss(m, users, moved, cfg)
				}
				const step = 0.01 // of the length of all items together
				ahead, back := along(step), along(-step)
				require.Greater(t, ahead, least*(1-1e-9))
				require.Greater(t, back, least*(1-1e-9))
				// The loss is quadratic along a line: its slope is the difference of the two, its curvature their rise. At 2⁻²³ of rounding
				// in the solution, the minimum lies within some thousandths of the step.
				rise := (ahead+back)/2 - least
				require.InDelta(t, 0, (ahead-back)/2, 5e-3*rise+1e-6*least, "slope at the minimum")
			})
		})
	}
}

// skewed draws users of very different activity; every user likes item 0, so that its row holds a large share of the work, and
// the last item, if there are several, is liked by nobody.
func skewed(t require.TestingT, seed uint64, users, items int) als.Interactions {
	random := rand.New(rand.NewPCG(seed, 2))
	var list []als.Interaction
	for u := range users {
		list = append(list, als.Interaction{User: int32(u), Weight: 1})
		for i := 1; i < items-1; i++ {
			if random.Float64() < float64(u+1)/float64(2*users) {
				list = append(list, als.Interaction{User: int32(u), Item: int32(i), Weight: 0.1 + 2*random.Float32()})
			}
		}
	}
	m, err := als.Collect(users, items, list)
	require.NoError(t, err)
	return m
}

// TestKernelsGiveTheSameScores states the tolerance between them: a thousandth of the largest score after three epochs. The
// embeddings themselves may differ by a rotation.
func TestKernelsGiveTheSameScores(t *testing.T) {
	t.Parallel()
	m := tastes(t, 7, 300, 120, 9)
	for _, d := range []int{8, 33, 130} {
		cfg := als.Config{Dimension: d, Epochs: 3, Alpha0: 0.05, Lambda: 0.02, Seed: 3}
		var want als.Factors
		var wantLoss, largest float64
		for _, set := range slices.Backward(kernel.Available()) { // the portable one first
			var loss float64
			cfg.Kernel = set
			f, err := als.Train(t.Context(), m, cfg, func(e als.Epoch) { loss = e.Loss })
			require.NoError(t, err)
			if want.Dimension == 0 {
				want, wantLoss = f, loss
				continue
			}
			require.InEpsilon(t, wantLoss, loss, 1e-5, "%s, d = %d", set.Name, d)
			var difference float64
			for u := range m.Users {
				for i := range m.Items {
					x := score(want, u, i)
					largest, difference = max(largest, math.Abs(x)), max(difference, math.Abs(x-score(f, u, i)))
				}
			}
			require.Less(t, difference, 1e-3*largest, "%s, d = %d", set.Name, d)
		}
	}
}

func score(f als.Factors, user, item int) (sum float64) {
	for k, x := range f.User(user) {
		sum += float64(x) * float64(f.Item(item)[k])
	}
	return sum
}

// TestSameSeedGivesSameBitsOnAnyNumberOfCores is not parallel: it changes the number of cores of the process.
func TestSameSeedGivesSameBitsOnAnyNumberOfCores(t *testing.T) {
	popular := tastes(t, 9, 5000, 2500, 3)
	var list []als.Interaction
	for u := range popular.Users {
		items, weights := popular.Row(u)
		for k, i := range items {
			list = append(list, als.Interaction{User: int32(u), Item: i, Weight: weights[k]})
		}
		list = append(list, als.Interaction{User: int32(u), Item: 1, Weight: 1}) // a row that all cores solve together
	}
	m, err := als.Collect(popular.Users, popular.Items, list)
	require.NoError(t, err)
	cfg := als.Config{Dimension: 8, Epochs: 2, Alpha0: 0.01, Lambda: 0.01, Seed: 42}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	var lossOnOne float64
	one, err := als.Train(t.Context(), m, cfg, func(e als.Epoch) { lossOnOne = e.Loss })
	require.NoError(t, err)
	for _, cores := range []int{2, 4, 7} {
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
	require.Equal(t, 3, m.Repeated)

	const tiny = 0x1p-29 // two of them, added before the rest, decide to which side 2²⁴+1 is rounded
	for _, order := range [][]float32{{1 << 24, 1, tiny, tiny}, {tiny, 1, tiny, 1 << 24}} {
		list = list[:0]
		for _, w := range order {
			list = append(list, als.Interaction{Weight: w})
		}
		m, err = als.Collect(1, 1, list)
		require.NoError(t, err)
		_, weights = m.Row(0)
		require.Equal(t, []float32{1<<24 + 2}, weights)
	}
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

func TestTooLittleRegularizationIsSaid(t *testing.T) {
	t.Parallel()
	m := tastes(t, 1, 60, 40, 8)
	_, err := als.Train(t.Context(), m, als.Config{Dimension: 16, Epochs: 3, Alpha0: 1e-300, Lambda: 1e-300, Seed: 1}, nil)
	require.ErrorIs(t, err, als.ErrNoSolution)
	_, err = als.Train(t.Context(), m, als.Config{Dimension: 4, Epochs: 3, Alpha0: 1e300, Lambda: 1, Seed: 1}, nil)
	require.ErrorIs(t, err, als.ErrNoSolution)
	require.ErrorContains(t, err, "lower alpha0")
}

func TestEqualWeightsAndOneUserCanBeTrained(t *testing.T) {
	t.Parallel()
	m, err := als.Collect(1, 2, []als.Interaction{{Item: 1, Weight: 3}})
	require.NoError(t, err)
	f, err := als.Train(t.Context(), m, als.Config{Dimension: 31, Epochs: 3, Alpha0: 0.1, Lambda: 0.01, Seed: 1}, nil)
	require.NoError(t, err)
	require.Greater(t, score(f, 0, 1), 0.8)
	require.Zero(t, score(f, 0, 0))

	// A Gramian of rank one, whose axes were turned already: what is left beside the first is rounding of rounding.
	m, err = als.Collect(1, 1, []als.Interaction{{Weight: 1}})
	require.NoError(t, err)
	for seed := range uint64(30) {
		for _, set := range kernel.Available() {
			_, err = als.Train(t.Context(), m, als.Config{Dimension: 31, Epochs: 2, Alpha0: 0.1, Lambda: 0.1, Seed: seed, Kernel: set}, nil)
			require.NoError(t, err, "%s, seed %d", set.Name, seed)
		}
	}
}

func TestProgressTellsPaceAndWhatIsLeft(t *testing.T) {
	t.Parallel()
	m := tastes(t, 1, 50, 30, 5)
	var seen []als.Epoch
	_, err := als.Train(t.Context(), m, als.Config{Dimension: 4, Epochs: 3, Alpha0: 0.1, Lambda: 0.1}, func(e als.Epoch) { seen = append(seen, e) })
	require.NoError(t, err)
	require.Len(t, seen, 3)
	for k, e := range seen {
		require.Equal(t, k+1, e.Number)
		require.Equal(t, 80, e.Rows, "every user and item has interactions here")
		require.Positive(t, e.Took)
		require.Positive(t, e.RowsPerSecond())
		require.Equal(t, k == 2, e.Left == 0)
	}
}

// TestMemoryIsWhatTheFormulaSays is not parallel: it counts what the process allocates.
func TestMemoryIsWhatTheFormulaSays(t *testing.T) {
	for _, size := range []als.Size{
		{Users: 20000, Items: 8000, Interactions: 200000, Dimension: 32},
		{Users: 6000, Items: 9000, Interactions: 100000, Dimension: 128},
		{Users: 3000, Items: 1500, Interactions: 300000, Dimension: 40},
	} {
		random := rand.New(rand.NewPCG(1, 3))
		list := make([]als.Interaction, size.Interactions)
		for k := range list { // squared: some items are far more popular than others
			list[k] = als.Interaction{User: int32(random.IntN(size.Users)), Item: int32(random.Float64() * random.Float64() * float64(size.Items)), Weight: 1}
		}
		m, err := als.Collect(size.Users, size.Items, list)
		require.NoError(t, err)
		size.Interactions, size.Cores = m.Len(), runtime.GOMAXPROCS(0)

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		solver, err := als.NewSolver(m, als.Config{Dimension: size.Dimension, Epochs: 2, Alpha0: 0.01, Lambda: 0.01, Seed: 1})
		require.NoError(t, err)
		for range 2 {
			_, err = solver.Epoch(t.Context())
			require.NoError(t, err)
		}
		runtime.ReadMemStats(&after)
		allocated := int64(after.TotalAlloc-before.TotalAlloc) + 8*int64(size.Interactions+size.Users) // what NewSolver was given
		require.LessOrEqual(t, allocated, size.Memory(), "%+v", size)
		require.Greater(t, float64(allocated), 0.85*float64(size.Memory()), "%+v", size)
		data := 12*size.Interactions + 4*size.Dimension*(size.Users+size.Items)
		require.LessOrEqual(t, float64(size.Memory()), 1.5*float64(data), "%+v: interactions and factors", size)
	}
}

func TestTimeGrowsWithEverySizeAndShrinksWithCores(t *testing.T) {
	t.Parallel()
	set, size := kernel.Fastest(), als.Size{Users: 1000, Items: 1000, Interactions: 20000, Dimension: 64, Cores: 1}
	base := size.EpochTime(set)
	for name, change := range map[string]func(*als.Size){
		"all":          func(s *als.Size) { s.Users, s.Items, s.Interactions = 2*s.Users, 2*s.Items, 2*s.Interactions },
		"interactions": func(s *als.Size) { s.Interactions *= 2 }, "dimension": func(s *als.Size) { s.Dimension *= 2 },
	} {
		larger := size
		change(&larger)
		require.Greater(t, larger.EpochTime(set), base, name)
	}
	size.Cores = 2
	require.InEpsilon(t, base.Seconds()/2, size.EpochTime(set).Seconds(), 1e-6)
}

func BenchmarkEpoch(b *testing.B) {
	m := tastes(b, 1, 20000, 10000, 25)
	for _, set := range kernel.Available() {
		for _, d := range []int{64, 256} {
			b.Run(fmt.Sprintf("%s/d=%d", set.Name, d), func(b *testing.B) {
				solver, err := als.NewSolver(m, als.Config{Dimension: d, Epochs: 1, Alpha0: 0.01, Lambda: 0.01, Seed: 1, Kernel: set})
				require.NoError(b, err)
				for b.Loop() {
					_, err := solver.Epoch(b.Context())
					require.NoError(b, err)
				}
			})
		}
	}
}
