// Package cholesky factors and solves small dense symmetric positive definite systems, in float32 or float64.
package cholesky

import (
	"errors"
	"math"
)

// ErrNotPositiveDefinite says that a pivot was zero, negative or not a number: the matrix is singular within the
// precision of its type. The remedy is more regularization.
var ErrNotPositiveDefinite = errors.New("matrix is not positive definite: raise the regularization")

// Float is the precision of a system.
type Float interface{ float32 | float64 }

// Factor replaces the lower triangle of a (n×n, row-major) by L with L·Lᵀ = a. The upper triangle is neither read
// nor written. It costs n³/6 multiplications and additions.
func Factor[F Float](a []F, n int) error {
	for i := range n {
		row := a[i*n : i*n+i+1]
		for j := range i {
			other := a[j*n : j*n+j+1]
			row[j] = (row[j] - Dot(row[:j], other[:j])) / other[j]
		}
		pivot := float64(row[i] - Dot(row[:i], row[:i]))
		if !(pivot > 0) || math.IsInf(pivot, 1) {
			return ErrNotPositiveDefinite
		}
		row[i] = F(math.Sqrt(pivot))
	}
	return nil
}

// Solve replaces b (length n) by the solution x of L·Lᵀ·x = b, where l comes from Factor.
func Solve[F Float](l []F, n int, b []F) {
	b = b[:n]
	for i := range n {
		row := l[i*n : i*n+i+1]
		b[i] = (b[i] - Dot(row[:i], b[:i])) / row[i]
	}
	for i := n - 1; i >= 0; i-- { // by rows of L, so that memory is read in order
		row := l[i*n : i*n+i+1]
		b[i] /= row[i]
		x := b[i]
		for j, v := range row[:i] {
			b[j] -= v * x
		}
	}
}

// Dot returns the inner product of x and y, which have the same length. Four independent sums keep the processor's
// adders busy; the order of additions is fixed, so the result is too.
func Dot[F Float](x, y []F) F {
	y = y[:len(x)]
	var s0, s1, s2, s3 F
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b := x[i:i+4:i+4], y[i:i+4:i+4]
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}
