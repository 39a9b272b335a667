package cholesky_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/cholesky"
)

func TestSolutionSatisfiesTheSystem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 23).Draw(t, "n")
		m := rapid.SliceOfN(rapid.Float64Range(-1, 1), n*n, n*n).Draw(t, "m")
		b := rapid.SliceOfN(rapid.Float64Range(-1, 1), n, n).Draw(t, "b")
		a := make([]float64, n*n) // mᵀm + I is positive definite for any m
		for i := range n {
			for j := range n {
				for k := range n {
					a[i*n+j] += m[k*n+i] * m[k*n+j]
				}
			}
			a[i*n+i]++
		}
		l, x := append([]float64(nil), a...), append([]float64(nil), b...)
		require.NoError(t, cholesky.Factor(l, n))
		cholesky.Solve(l, n, x)
		for i := range n {
			require.InDelta(t, b[i], cholesky.Dot(a[i*n:(i+1)*n], x), 1e-9)
		}
	})
}

func TestSingularMatrixIsRefused(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, cholesky.Factor([]float32{1, 1, 1, 1}, 2), cholesky.ErrNotPositiveDefinite)
	require.ErrorIs(t, cholesky.Factor([]float64{-1}, 1), cholesky.ErrNotPositiveDefinite)
}
