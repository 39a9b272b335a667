// Package eigen decomposes a real symmetric matrix, in float64.
package eigen

import (
	"errors"
	"math"

	"github.com/millrace/millrace/shared/kernel"
)

// ErrNotFinite says that the matrix holds a number that is not finite, or is so large that its squares are not.
var ErrNotFinite = errors.New("matrix is not finite")

// stripColumns is the part of the vectors that one call of each works on: n rows of it stay in a core's second-level cache up to
// n = 1024 (512 KiB), while all reflections and rotations pass over them.
const stripColumns = 64

// Each runs do(0) … do(parts−1), in any order, possibly at the same time.
type Each func(parts int, do func(part int))

// Memory is how many bytes a solver of n×n matrices takes: matrix and vectors, 16·n² in all, and the rotations of some sweeps.
func Memory(n int) int {
	return 8*n*n + 8*n*kernel.PadTo(n, stripColumns) + 24*sweepRotations*n + 8*6*n
}

// sweepRotations·n rotations are found before they are applied to the vectors, in parallel.
const sweepRotations = 32

// Solver decomposes matrices of one size; its memory is used again and again.
type Solver struct {
	// Values and the rows of Vectors belong together: matrix = Σ Values[j]·Vector(j)·Vector(j)ᵀ. In no order.
	Values []float64

	n      int
	set    *kernel.Set
	matrix []float64 // n×n: the lower triangle becomes the reflections, row k from column 0 is that of step k
	beta   []float64 // factor of reflection k: H_k = I − β v vᵀ
	off    []float64 // off-diagonal of the tridiagonal matrix
	work   [3][]float64
	strips [][]float64 // strip s is n rows of stripColumns: columns s·stripColumns… of the transposed vectors
	sweep  []rotation
}

type rotation struct {
	row      int // of the transposed vectors, with the next one
	cos, sin float64
}

// New makes a solver for n×n matrices.
func New(set *kernel.Set, n int) *Solver {
	s := &Solver{
		Values: make([]float64, n), n: n, set: set,
		matrix: make([]float64, n*n), beta: make([]float64, n), off: make([]float64, n),
		strips: make([][]float64, (n+stripColumns-1)/stripColumns), sweep: make([]rotation, 0, sweepRotations*n),
	}
	for k := range s.work {
		s.work[k] = make([]float64, n)
	}
	for k := range s.strips {
		s.strips[k] = make([]float64, n*stripColumns)
	}
	return s
}

// Matrix is what Decompose reads, to be filled before: n×n, lower triangle. Decompose overwrites it.
func (s *Solver) Matrix() []float64 { return s.matrix }

// Vector is component i of the eigenvector of Values[j]; the vectors are orthonormal.
func (s *Solver) Vector(j, i int) float64 {
	return s.strips[i/stripColumns][j*stripColumns+i%stripColumns]
}

// Decompose finds the values and vectors: reduction to a tridiagonal matrix by reflections, then implicit QL (Golub, Van Loan 2013,
// sections 8.3.1 and 8.3.3). The vectors take most of the work: reflections and rotations only mix rows of them, so
// strips of columns are independent of each other, and the number of cores changes nothing. Error: ErrNotFinite.
func (s *Solver) Decompose(each Each) error {
	var largest float64
	for i := range s.n {
		for _, x := range s.matrix[i*s.n : i*s.n+i+1] {
			largest = max(largest, math.Abs(x))
		}
	}
	if math.IsNaN(largest) || largest > math.Sqrt(math.MaxFloat64)/float64(s.n) {
		return ErrNotFinite
	}
	s.tridiagonalize(largest)
	each(len(s.strips), func(part int) {
		strip := s.strips[part]
		clear(strip)
		for j := part * stripColumns; j < min((part+1)*stripColumns, s.n); j++ {
			strip[j*stripColumns+j%stripColumns] = 1
		}
		s.reflect(strip)
	})
	apply := func() {
		each(len(s.strips), func(part int) {
			strip := s.strips[part]
			for _, r := range s.sweep {
				upper, lower := strip[r.row*stripColumns:(r.row+1)*stripColumns], strip[(r.row+1)*stripColumns:(r.row+2)*stripColumns]
				s.set.Rotate(upper, lower, r.cos, r.sin)
			}
		})
		s.sweep = s.sweep[:0]
	}
	if err := s.diagonalize(apply); err != nil {
		return err
	}
	apply()
	return nil
}

// tridiagonalize goes from the last row up: reflection k takes row k to its last two elements, and lives where the others were.
func (s *Solver) tridiagonalize(largest float64) {
	n, a := s.n, s.matrix
	product, correction := s.work[0], s.work[1]
	negligible := largest * 0x1p-60 // below the rounding of what the reflections do to the largest
	for k := n - 1; k > 1; k-- {
		v := a[k*n : k*n+k] // row k left of the diagonal; the pivot is its last element
		s.Values[k] = a[k*n+k]
		s.off[k], s.beta[k] = reflection(v, negligible)
		if s.beta[k] == 0 {
			continue
		}
		clear(product[:k])
		for i := range k {
			row, x, sum := a[i*n:i*n+i], v[i], 0.
			p := product[:len(row)]
			for j, y := range row {
				sum += y * v[j]
				p[j] += y * x
			}
			product[i] += sum + a[i*n+i]*x
		}
		var overlap float64
		for i, x := range v {
			product[i] *= s.beta[k]
			overlap += product[i] * x
		}
		overlap *= s.beta[k] / 2
		w := correction[:k]
		for i, x := range v {
			w[i] = product[i] - overlap*x
		}
		for i := range k {
			row, x, y := a[i*n:i*n+i+1], v[i], w[i]
			vs, ws := v[:len(row)], w[:len(row)]
			for j := range row {
				row[j] -= x*ws[j] + y*vs[j]
			}
		}
	}
	for k := range min(n, 2) {
		s.Values[k] = a[k*n+k]
	}
	if n > 1 {
		s.off[1] = a[n]
	}
}

// reflection overwrites v by the vector of the reflection that takes it to (0, …, 0, last). Without a limit to what counts, it would work on
// the rounding of rounding of a matrix of deficient rank until that underflows.
func reflection(v []float64, negligible float64) (last, beta float64) {
	pivot := v[len(v)-1]
	var rest float64
	for _, x := range v[:len(v)-1] {
		rest += x * x
	}
	if rest <= negligible*negligible {
		return pivot, 0
	}
	last = -math.Copysign(math.Sqrt(rest+pivot*pivot), pivot)
	v[len(v)-1] = pivot - last
	return last, 2 / (rest + v[len(v)-1]*v[len(v)-1])
}

// reflect multiplies the strip by all reflections, in the order in which they were found.
func (s *Solver) reflect(strip []float64) {
	var sums [stripColumns]float64
	for k := s.n - 1; k > 1; k-- {
		if s.beta[k] == 0 {
			continue
		}
		v := s.matrix[k*s.n : k*s.n+k]
		clear(sums[:])
		for i, x := range v {
			s.set.Add(sums[:], strip[i*stripColumns:(i+1)*stripColumns], x)
		}
		for i, x := range v {
			s.set.Add(strip[i*stripColumns:(i+1)*stripColumns], sums[:], -s.beta[k]*x)
		}
	}
}

// diagonalize takes the tridiagonal matrix to a diagonal one; full is called whenever the list of rotations is.
func (s *Solver) diagonalize(full func()) error {
	d, e := s.Values, s.off
	copy(e, e[1:]) // e[i] couples rows i and i+1
	e[s.n-1] = 0
	// What is small beside the whole matrix is zero. Beside its two neighbours on the diagonal would be stricter, but those
	// are rounding themselves where the rank is deficient, and may not converge.
	var norm float64
	for l := range d {
		norm = max(norm, math.Abs(d[l])+math.Abs(e[l]))
	}
	for l := range d {
		for round := 0; ; round++ {
			m := l
			for ; m+1 < s.n; m++ {
				if math.Abs(e[m])+norm == norm {
					break
				}
			}
			if m == l {
				break
			}
			if round == 60 { // two or three are usual
				return ErrNotFinite
			}
			if len(s.sweep)+m-l > cap(s.sweep) {
				full()
			}
			g := (d[l+1] - d[l]) / (2 * e[l])
			g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
			sin, cos, p := 1., 1., 0.
			i := m - 1
			for ; i >= l; i-- {
				f, b := sin*e[i], cos*e[i]
				r := math.Sqrt(f*f + g*g)
				e[i+1] = r
				if r == 0 {
					d[i+1] -= p
					e[m] = 0
					break
				}
				sin, cos = f/r, g/r
				g = d[i+1] - p
				r = (d[i]-g)*sin + 2*cos*b
				p = sin * r
				d[i+1] = g + p
				g = cos*r - b
				s.sweep = append(s.sweep, rotation{row: i, cos: cos, sin: sin})
			}
			if i >= l {
				continue
			}
			d[l] -= p
			e[l] = g
			e[m] = 0
		}
	}
	return nil
}
