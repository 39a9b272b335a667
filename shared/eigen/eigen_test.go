package eigen_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/eigen"
	"github.com/millrace/millrace/shared/kernel"
)

func inOrder(parts int, do func(part int)) {
	for part := range parts {
		do(part)
	}
}

func atOnce(parts int, do func(part int)) {
	var group sync.WaitGroup
	for part := range parts {
		group.Go(func() { do(part) })
	}
	group.Wait()
}

// gramian is that of rows random vectors: of deficient rank if there are fewer than n.
func gramian(source *rand.Rand, n, rows int) []float64 {
	a := make([]float64, n*n)
	for range rows {
		v := make([]float64, n)
		for i := range v {
			v[i] = source.NormFloat64()
		}
		for i := range n {
			for j := range n {
				a[i*n+j] += v[i] * v[j]
			}
		}
	}
	return a
}

func TestDecompositionRestoresTheMatrix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(60, 140)).Draw(t, "n")
		rows := rapid.IntRange(0, 2*n).Draw(t, "rows") // 0: the zero matrix
		a := gramian(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), n, rows)
		scale := math.Pow(10, float64(rapid.IntRange(-30, 30).Draw(t, "log scale")))
		uneven := math.Pow(10, -rapid.Float64Range(0, 3).Draw(t, "log unevenness")) // each row and column smaller than the one before
		for k := range a {
			a[k] = float64(float32(a[k] * scale * math.Pow(uneven, float64(k/n+k%n)))) // as Gramians of turned factors come
		}
		s := eigen.New(rapid.SampledFrom(kernel.Available()).Draw(t, "set"), n)
		copy(s.Matrix(), a)
		require.NoError(t, s.Decompose(inOrder))
		size := 0.
		for i := range n {
			size = max(size, a[i*n+i])
		}
		for i := range n {
			for j := range n {
				var restored, product float64
				for k := range n {
					restored += s.Values[k] * s.Vector(k, i) * s.Vector(k, j)
					product += s.Vector(i, k) * s.Vector(j, k)
				}
				require.InDelta(t, a[i*n+j], restored, 1e-11*size, "%d, %d", i, j)
				if i == j {
					product--
				}
				require.InDelta(t, 0, product, 1e-12, "vectors %d and %d", i, j)
			}
		}
	})
}

func TestOneSolverAndManyCoresGiveTheSameBits(t *testing.T) {
	t.Parallel()
	const n = 150
	a := gramian(rand.New(rand.NewPCG(1, 0)), n, 2*n)
	s := eigen.New(kernel.Fastest(), n)
	run := func(each eigen.Each) (values []float64) {
		copy(s.Matrix(), a)
		require.NoError(t, s.Decompose(each))
		values = append(values, s.Values...)
		for j := range n {
			for i := range n {
				values = append(values, s.Vector(j, i))
			}
		}
		return values
	}
	require.Equal(t, run(inOrder), run(atOnce))
}

func TestWhatIsNotFiniteIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for n := 1; n < 5; n++ {
			s := eigen.New(kernel.Fastest(), n)
			s.Matrix()[n*n-n] = bad
			require.ErrorIs(t, s.Decompose(inOrder), eigen.ErrNotFinite)
		}
	}
}

// TestMemoryIsWhatASolverTakes is not parallel: it counts what the process allocates.
func TestMemoryIsWhatASolverTakes(t *testing.T) {
	for _, n := range []int{64, 300, 700} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := eigen.New(kernel.Fastest(), n)
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
		require.InEpsilon(t, eigen.Memory(n), after.TotalAlloc-before.TotalAlloc, 0.1, "n = %d", n)
	}
}

func BenchmarkDecompose(b *testing.B) {
	for _, n := range []int{64, 256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := gramian(rand.New(rand.NewPCG(1, 0)), n, 2*n)
			s := eigen.New(kernel.Fastest(), n)
			for b.Loop() {
				copy(s.Matrix(), a)
				require.NoError(b, s.Decompose(inOrder))
			}
		})
	}
}
