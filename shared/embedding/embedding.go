// Package embedding says what a vector must be so that distances to it mean something.
package embedding

import (
	"fmt"
	"math"
)

// pgvector computes in 32-bit floats, whose range is 1e-38 to 3e38: of embeddings within these norms neither the inner product of any
// two nor the square of one overflows or becomes zero.
const leastNorm, mostNorm = 1e-15, 1e15

// Norm is the Euclidean length.
func Norm(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// Check refuses an embedding that cannot be compared with others: of no length, or too long, or with NaN or an infinity, which make its
// length one too.
func Check(v []float32) error {
	if length := Norm(v); !(length >= leastNorm && length <= mostNorm) {
		return fmt.Errorf("an embedding of length %.3g: distances to it mean nothing (want finite numbers, not all zero)", length)
	}
	return nil
}
