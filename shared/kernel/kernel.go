// Package kernel holds the inner loops of dense linear algebra in float32, and two in float64 for package eigen: once for
// AVX-512, once for AVX2 and once in plain Go.
//
// The vector sets are compiled in on amd64 with GOEXPERIMENT=simd and offered where the processor has the instructions. All sets
// compute the same sums; they differ in the order of additions and in fusing them with the multiplications, so their results differ
// by rounding: relative to the sum of the magnitudes of n products by less than (n+2)·2⁻²³. One set always gives the same bits.
package kernel

// Lengths and strides that the sets rely on; a caller pads with zeros.
const (
	Lanes       = 16 // lengths of vectors are multiples of this: one AVX-512 register
	TileRows    = 4
	TileColumns = 32
	DotRows     = 2
	DotColumns  = 4
	BlockRows   = 32 // rows that Eliminate takes at most
)

// Set is one implementation of the inner loops. Matrices are row-major, ld… is the distance between two rows of a matrix.
type Set struct {
	Name      string  // avx512, avx2 or portable
	Gigaflops float64 // of AddTile in training on one core of the machine of bench/RESULTS.md, to plan with

	addTile   func(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int)
	dots      func(n int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int)
	eliminate func(a []float32, lda, rows, columns int) bool
	scale     func(out, v, by []float32, factor float32)
	pack      func(out []float32, group int, v []float32, factor float32)
	combine   func(out, a []float32, lda int, z []float32)
	dot       func(x, y []float32) float32
	rotate    func(x, y []float64, c, s float64)
	add       func(sum, x []float64, factor float64)
}

// Available lists the sets that run on this machine in this build, fastest first; the last one is always the portable one.
func Available() []*Set { return append(vectorSets(), &portable) }

// Fastest is the first of Available.
func Fastest() *Set { return Available()[0] }

// AddTile adds aᵀb to c, or subtracts it: a is k rows of TileRows, b is k rows of TileColumns, c is TileRows rows of TileColumns. k > 0.
func (s *Set) AddTile(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int) {
	_, _, _ = a[(k-1)*lda+TileRows-1], b[(k-1)*ldb+TileColumns-1], c[(TileRows-1)*ldc+TileColumns-1]
	s.addTile(k, a, lda, b, ldb, subtract, c, ldc)
}

// Dots sets c to abᵀ: a is DotRows rows of n, b is DotColumns rows of n, c is DotRows rows of DotColumns. n is a multiple of Lanes, not 0.
func (s *Set) Dots(n int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	_, _, _ = a[(DotRows-1)*lda+n-1], b[(DotColumns-1)*ldb+n-1], c[(DotRows-1)*ldc+DotColumns-1]
	s.dots(n, a, lda, b, ldb, c, ldc)
}

// Eliminate takes the first rows (≤ BlockRows) of a symmetric matrix, upper triangle, to those of its Cholesky factor U (a = UᵀU), along
// all columns (a multiple of Lanes). The diagonal is left as 1/U_kk; what is left of it is overwritten with numbers of no meaning.
// It returns false if a pivot is not a finite number above zero.
func (s *Set) Eliminate(a []float32, lda, rows, columns int) bool {
	_ = a[(rows-1)*lda+columns-1]
	return s.eliminate(a, lda, rows, columns)
}

// Scale sets out to factor·v∘by, elementwise; v and by have any same length, out may be longer: its rest becomes zero.
func (s *Set) Scale(out, v, by []float32, factor float32) {
	whole := len(v) &^ (Lanes - 1)
	if whole > 0 {
		s.scale(out[:whole], v[:whole], by[:whole], factor)
	}
	for j := whole; j < len(v); j++ {
		out[j] = factor * v[j] * by[j]
	}
	clear(out[len(v):])
}

// Pack spreads factor·v over groups of TileColumns, as tiles want them: element j goes to out[j/TileColumns·group + j%TileColumns]. v has
// any length; the rest of its last group becomes zero.
func (s *Set) Pack(out []float32, group int, v []float32, factor float32) {
	whole := len(v) / TileColumns
	if whole > 0 {
		_ = out[(whole-1)*group+TileColumns-1]
		s.pack(out, group, v[:whole*TileColumns], factor)
	}
	if rest := v[whole*TileColumns:]; len(rest) > 0 {
		last := out[whole*group:][:TileColumns]
		for j, x := range rest {
			last[j] = factor * x
		}
		clear(last[len(rest):])
	}
}

// Combine adds Σ_k z_k·a_k to out, where a_k is row k of a, as long as out (a multiple of Lanes).
func (s *Set) Combine(out, a []float32, lda int, z []float32) {
	if len(z) == 0 || len(out) == 0 {
		return
	}
	_ = a[(len(z)-1)*lda+len(out)-1]
	s.combine(out, a, lda, z)
}

// Dot is the inner product of x and y, which have any same length.
func (s *Set) Dot(x, y []float32) float32 {
	whole := len(x) &^ (Lanes - 1)
	y = y[:len(x)]
	sum := s.dot(x[:whole], y[:whole])
	for j := whole; j < len(x); j++ {
		sum += x[j] * y[j]
	}
	return sum
}

// Rotate sets x to c·x − s·y and y to s·x + c·y, which have the same length (a multiple of Lanes).
func (s *Set) Rotate(x, y []float64, cos, sin float64) { s.rotate(x, y[:len(x)], cos, sin) }

// Add adds factor·x to sum, which have the same length (a multiple of Lanes).
func (s *Set) Add(sum, x []float64, factor float64) { s.add(sum, x[:len(sum)], factor) }

// PadTo rounds n up to a multiple of unit.
func PadTo(n, unit int) int { return (n + unit - 1) / unit * unit }
