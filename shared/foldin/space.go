// Package foldin answers for a user who has just looked at something: the user's vector in closed form, the best
// items for it, and which item of the session each of them is owed to.
package foldin

import (
	"fmt"
	"math"
	"sync"

	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/eigen"
	"github.com/millrace/millrace/shared/kernel"
)

// Loss is what a fold-in needs of the loss the item embeddings were trained with (package als).
type Loss struct {
	Dimension int       // d
	Alpha0    float64   // α0, weight of a pair nobody observed
	Lambda    float64   // λ
	Items     int       // |V|, the items behind Gramian
	Gramian   []float32 // G = Σ v·vᵀ over them, d×d row-major
}

// Space is the space of a model's items, ready to fold users in. It is safe for concurrent use.
type Space struct {
	Items Matrix

	set       *kernel.Set
	lambda    float64
	width     int       // d padded to whole registers
	curvature []float64 // eigenvalues of H₀ = α0·G + λ·α0·|V|·I
	in, out   []float64 // d rows of width: out's row j is the eigenvector of curvature[j], in is its transpose
	together  *cooccurrence.Table
	blend     float64
	scratch   sync.Pool // of *scan
}

// New prepares a space over items. G is decomposed once: along its eigenvectors H is diagonal for a session of any length.
// Errors: cholesky.ErrNotPositiveDefinite if λ is (nearly) zero.
func New(loss Loss, items Matrix) (*Space, error) {
	d := loss.Dimension
	if d < 1 || d != items.Dimension() || len(loss.Gramian) != d*d {
		return nil, fmt.Errorf("fold-in: dimension %d does not fit a Gramian of %d numbers and items of dimension %d",
			d, len(loss.Gramian), items.Dimension())
	}
	s := &Space{Items: items, set: kernel.Fastest(), lambda: loss.Lambda, width: kernel.PadTo(d, kernel.Lanes)}
	s.scratch.New = func() any { return &scan{} }
	solver := eigen.New(s.set, d)
	matrix, largest := solver.Matrix(), 0.0
	for k, g := range loss.Gramian {
		matrix[k] = loss.Alpha0 * float64(g)
	}
	err := solver.Decompose(func(parts int, do func(int)) {
		for part := range parts {
			do(part)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("fold-in: Gramian: %w", err)
	}
	s.curvature = make([]float64, d)
	s.in, s.out = make([]float64, d*s.width), make([]float64, d*s.width)
	for j := range d {
		s.curvature[j] = solver.Values[j] + loss.Lambda*loss.Alpha0*float64(loss.Items)
		largest = max(largest, s.curvature[j])
		for i := range d {
			x := solver.Vector(j, i)
			s.out[j*s.width+i], s.in[i*s.width+j] = x, x
		}
	}
	for _, h := range s.curvature {
		// A Gramian is given in float32: an eigenvalue below its rounding is none.
		if !(h > largest*0x1p-24) {
			return nil, fmt.Errorf("fold-in: %w", cholesky.ErrNotPositiveDefinite)
		}
	}
	return s, nil
}

// Blend adds evidence between pairs of items to every score: weight·Σ w_k·strength(k→item) over the session. The table has a row for
// each item of the space. To be called before the space is used.
func (s *Space) Blend(together *cooccurrence.Table, weight float64) error {
	if weight == 0 {
		return nil
	}
	if !(weight > 0) || math.IsInf(weight, 1) || together == nil || together.Len() != s.Items.Len() {
		return fmt.Errorf("fold-in: a blend of %v with co-occurrences that do not fit %d items", weight, s.Items.Len())
	}
	for i := range together.Len() {
		neighbours, _ := together.Row(i)
		for _, j := range neighbours {
			if int(j) >= s.Items.Len() {
				return fmt.Errorf("fold-in: item %d co-occurs with item %d of %d", i, j, s.Items.Len())
			}
		}
	}
	s.together, s.blend = together, weight
	return nil
}

// Over is the same space over other items of it: what folds users in is shared, nothing is decomposed again. It has no co-occurrences.
func (s *Space) Over(items Matrix) (*Space, error) {
	if items.Dimension() != s.Items.Dimension() {
		return nil, fmt.Errorf("fold-in: items of dimension %d in a space of dimension %d", items.Dimension(), s.Items.Dimension())
	}
	other := &Space{Items: items, set: s.set, lambda: s.lambda, width: s.width, curvature: s.curvature, in: s.in, out: s.out}
	other.scratch.New = s.scratch.New
	return other, nil
}

// AddTogether adds to scores, one for each item, what Blend adds for a session.
func (s *Space) AddTogether(scores []float32, session []Weighted) {
	s.eachTogether(session, func(row int32, score float32) { scores[row] += score })
}

// eachTogether gives what Blend adds for a session, a row several times if several of its items add to it.
func (s *Space) eachTogether(session []Weighted, add func(row int32, score float32)) {
	if s.together == nil {
		return
	}
	for _, seen := range session {
		w := float32(s.blend * seen.Weight)
		items, strengths := s.together.Row(seen.Row)
		for k, i := range items {
			add(i, w*strengths[k])
		}
		add(int32(seen.Row), w*cooccurrence.Identity)
	}
}
