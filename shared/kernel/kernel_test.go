package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/kernel"
)

// eachSet runs a property on every set that this machine and build have: three with GOEXPERIMENT=simd on a machine with AVX-512, else fewer.
func eachSet(t *testing.T, property func(t *rapid.T, s *kernel.Set)) {
	for _, s := range kernel.Available() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { property(t, s) })
		})
	}
}

func random(t *rapid.T, n int) []float32 {
	source := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	out := make([]float32, n)
	for k := range out {
		out[k] = float32(source.NormFloat64())
	}
	return out
}

// requireSum checks a float32 sum of terms against the tolerance that the package states.
func requireSum(t *rapid.T, terms []float64, got float32, what string, args ...any) {
	var sum, magnitudes float64
	for _, x := range terms {
		sum += x
		magnitudes += math.Abs(x)
	}
	require.InDelta(t, sum, float64(got), float64(len(terms)+2)*0x1p-23*magnitudes, what, args)
}

func TestTheLastSetIsThePortableOne(t *testing.T) {
	t.Parallel()
	sets := kernel.Available()
	require.Equal(t, "portable", sets[len(sets)-1].Name)
	require.Same(t, sets[0], kernel.Fastest())
	names := map[string]bool{}
	for _, s := range sets {
		names[s.Name] = true
	}
	require.Len(t, names, len(sets))
}

func TestTileIsAddedOrSubtracted(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		k := rapid.IntRange(1, 70).Draw(t, "k")
		lda, ldb, ldc := kernel.TileRows+rapid.IntRange(0, 5).Draw(t, "lda"), kernel.TileColumns+rapid.IntRange(0, 5).Draw(t, "ldb"), kernel.TileColumns+rapid.IntRange(0, 5).Draw(t, "ldc")
		a, b, c := random(t, k*lda), random(t, k*ldb), random(t, kernel.TileRows*ldc)
		before := append([]float32(nil), c...)
		subtract, sign := rapid.Bool().Draw(t, "subtract"), 1.
		if subtract {
			sign = -1
		}
		s.AddTile(k, a, lda, b, ldb, subtract, c, ldc)
		for at := range c {
			i, j := at/ldc, at%ldc
			if j >= kernel.TileColumns {
				require.Equal(t, before[at], c[at], "beside the tile")
				continue
			}
			terms := []float64{float64(before[at])}
			for p := range k {
				terms = append(terms, sign*float64(a[p*lda+i])*float64(b[p*ldb+j]))
			}
			requireSum(t, terms, c[at], "row %d, column %d", i, j)
		}
	})
}

func TestDotsAreTheProductsOfRows(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		n := kernel.Lanes * rapid.IntRange(1, 20).Draw(t, "n/16")
		lda, ldb, ldc := n+rapid.IntRange(0, 20).Draw(t, "lda"), n+rapid.IntRange(0, 20).Draw(t, "ldb"), kernel.DotColumns+rapid.IntRange(0, 5).Draw(t, "ldc")
		a, b, c := random(t, kernel.DotRows*lda), random(t, kernel.DotColumns*ldb), make([]float32, kernel.DotRows*ldc)
		s.Dots(n, a, lda, b, ldb, c, ldc)
		for i := range kernel.DotRows {
			for j := range kernel.DotColumns {
				requireSum(t, products(a[i*lda:i*lda+n], b[j*ldb:j*ldb+n]), c[i*ldc+j], "row %d, column %d", i, j)
				requireSum(t, products(a[i*lda:i*lda+n], b[j*ldb:j*ldb+n]), s.Dot(a[i*lda:i*lda+n], b[j*ldb:j*ldb+n]), "Dot")
			}
		}
		short := rapid.IntRange(0, n).Draw(t, "short")
		requireSum(t, products(a[:short], b[:short]), s.Dot(a[:short], b[:short]), "Dot of %d", short)
	})
}

func products(x, y []float32) []float64 {
	terms := make([]float64, len(x))
	for k := range x {
		terms[k] = float64(x[k]) * float64(y[k])
	}
	return terms
}

func TestScaleMultipliesAndFillsWithZeros(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		n, rest := rapid.IntRange(0, 100).Draw(t, "n"), rapid.IntRange(0, 20).Draw(t, "rest")
		v, by, out := random(t, n), random(t, n), random(t, n+rest)
		s.Scale(out, v, by, 1.5)
		for j := range n {
			require.InEpsilon(t, 1.5*float64(v[j])*float64(by[j]), float64(out[j]), 1e-6)
		}
		require.Equal(t, make([]float32, rest), out[n:])
	})
}

func TestPackSpreadsGroupsAndFillsTheLast(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		n, group := rapid.IntRange(0, 200).Draw(t, "n"), kernel.TileColumns+rapid.IntRange(0, 9).Draw(t, "gap")
		v, out := random(t, n), random(t, kernel.PadTo(n, kernel.TileColumns)/kernel.TileColumns*group)
		want := append([]float32{}, out...)
		for at := range want {
			if j := at/group*kernel.TileColumns + at%group; at%group < kernel.TileColumns {
				want[at] = 0
				if j < n {
					want[at] = 1.5 * v[j]
				}
			}
		}
		s.Pack(out, group, v, 1.5)
		require.Equal(t, want, out)
	})
}

func TestCombineAddsWeightedRows(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		n, rows := kernel.Lanes*rapid.IntRange(0, 20).Draw(t, "n/16"), rapid.IntRange(0, 30).Draw(t, "rows")
		lda := n + rapid.IntRange(0, 20).Draw(t, "lda")
		a, z, out := random(t, rows*lda), random(t, rows), random(t, n)
		before := append([]float32(nil), out...)
		s.Combine(out, a, lda, z)
		for j := range out {
			terms := []float64{float64(before[j])}
			for k := range rows {
				terms = append(terms, float64(z[k])*float64(a[k*lda+j]))
			}
			requireSum(t, terms, out[j], "column %d", j)
		}
	})
}

func TestRotateAndAddInDoublePrecision(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		source := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := kernel.Lanes * rapid.IntRange(0, 9).Draw(t, "n/16")
		x, y := make([]float64, n), make([]float64, n)
		for j := range x {
			x[j], y[j] = source.NormFloat64(), source.NormFloat64()
		}
		sin, cos := math.Sincos(source.Float64())
		left, right, sum := append([]float64(nil), x...), append([]float64(nil), y...), append([]float64(nil), y...)
		s.Rotate(left, right, cos, sin)
		s.Add(sum, x, 0.75)
		for j := range x {
			require.InDelta(t, cos*x[j]-sin*y[j], left[j], 1e-14)
			require.InDelta(t, sin*x[j]+cos*y[j], right[j], 1e-14)
			require.InDelta(t, y[j]+0.75*x[j], sum[j], 1e-14)
		}
	})
}

func TestEliminatedRowsRestoreTheMatrix(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *rapid.T, s *kernel.Set) {
		rows := rapid.IntRange(1, kernel.BlockRows).Draw(t, "rows")
		columns := kernel.PadTo(rows, kernel.Lanes) + kernel.Lanes*rapid.IntRange(0, 4).Draw(t, "more columns/16")
		lda := columns + rapid.IntRange(0, 20).Draw(t, "lda")
		m := random(t, rows*columns)
		a, scale := make([]float32, rows*lda), 0.
		for i := range rows {
			for j := i; j < columns; j++ {
				if j < rows {
					a[i*lda+j] = s.Dot(m[i*columns:(i+1)*columns], m[j*columns:(j+1)*columns])
				} else {
					a[i*lda+j] = m[i*columns+j]
				}
				scale = max(scale, math.Abs(float64(a[i*lda+j])))
			}
			a[i*lda+i]++
		}
		u := append([]float32(nil), a...)
		require.True(t, s.Eliminate(u, lda, rows, columns))
		for i := range rows {
			for j := i; j < columns; j++ {
				var sum float64
				for k := range i + 1 { // (UᵀU)_ij
					left, right := float64(u[k*lda+i]), float64(u[k*lda+j])
					if k == i {
						left = 1 / left
					}
					if k == j {
						right = 1 / right
					}
					sum += left * right
				}
				require.InDelta(t, float64(a[i*lda+j]), sum, 1e-5*scale, "row %d, column %d", i, j)
			}
		}
	})
}

func TestEliminateRefusesWhatHasNoFactor(t *testing.T) {
	t.Parallel()
	for _, s := range kernel.Available() {
		for _, pivot := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1))} {
			a := make([]float32, 2*kernel.Lanes)
			a[0], a[kernel.Lanes+1] = 1, pivot
			require.False(t, s.Eliminate(a, kernel.Lanes, 2, kernel.Lanes), "%s: pivot %v", s.Name, pivot)
		}
	}
}

func BenchmarkAddTile(b *testing.B) {
	for _, s := range kernel.Available() {
		for _, k := range []int{32, 128} {
			b.Run(fmt.Sprintf("%s/k=%d", s.Name, k), func(b *testing.B) {
				x, c := make([]float32, k*kernel.TileColumns), make([]float32, kernel.TileRows*kernel.TileColumns)
				for b.Loop() {
					s.AddTile(k, x, kernel.TileColumns, x, kernel.TileColumns, false, c, kernel.TileColumns)
				}
				gigaflops(b, 2*k*kernel.TileRows*kernel.TileColumns)
			})
		}
	}
}

func BenchmarkDots(b *testing.B) {
	for _, s := range kernel.Available() {
		for _, n := range []int{64, 256} {
			b.Run(fmt.Sprintf("%s/n=%d", s.Name, n), func(b *testing.B) {
				x, c := make([]float32, 6*n), make([]float32, kernel.DotRows*kernel.DotColumns)
				for b.Loop() {
					s.Dots(n, x, n, x[2*n:], n, c, kernel.DotColumns)
				}
				gigaflops(b, 2*n*kernel.DotRows*kernel.DotColumns)
			})
		}
	}
}

func BenchmarkEliminate(b *testing.B) {
	for _, s := range kernel.Available() {
		b.Run(s.Name, func(b *testing.B) {
			const n = kernel.BlockRows
			identity, a := make([]float32, n*n), make([]float32, n*n)
			for k := range n {
				identity[k*n+k] = 1
			}
			for b.Loop() {
				copy(a, identity)
				s.Eliminate(a, n, n, n)
			}
		})
	}
}

func gigaflops(b *testing.B, operations int) {
	b.ReportMetric(float64(b.N)*float64(operations)/b.Elapsed().Seconds()/1e9, "GFLOPS")
}
