// Package foldin answers for a user who has just looked at something: the user's vector in closed form, the best
// items for it, and which item of the session each of them is owed to.
package foldin

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/cholesky"
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
	Items  Matrix
	base   []float64 // H₀ = α0·G + λ·α0·|V|·I
	lambda float64
}

// New prepares a space over items.
func New(loss Loss, items Matrix) (*Space, error) {
	d := loss.Dimension
	if d < 1 || d != items.Dimension() || len(loss.Gramian) != d*d {
		return nil, fmt.Errorf("fold-in: dimension %d does not fit a Gramian of %d numbers and items of dimension %d",
			d, len(loss.Gramian), items.Dimension())
	}
	s := &Space{Items: items, base: make([]float64, d*d), lambda: loss.Lambda}
	for k, g := range loss.Gramian {
		s.base[k] = loss.Alpha0 * float64(g)
	}
	for i := range d {
		s.base[i*d+i] += loss.Lambda * loss.Alpha0 * float64(loss.Items)
	}
	return s, nil
}

// Weighted is an item of a session by its row, with its weight (> 0; 1 is an average interaction).
type Weighted struct {
	Row    int
	Weight float64
}

// Fold solves, for a session of n weighted items v and a prior p (length d),
//
//	(H + Σ w·v·vᵀ) u = H·p + Σ w·v        H = α0·G + λ(n + α0·|V|)·I
//
// With p = 0 this is the row of a user in training (Hu, Koren, Volinsky 2008, eq. 4, regularized as in package als).
// H is also the curvature that training gave p, so an empty session returns p itself, and every item moves u away
// from p as much as it would have moved it in training. Errors: cholesky.ErrNotPositiveDefinite if λ is (nearly) zero.
func (s *Space) Fold(prior []float32, session []Weighted) (*User, error) {
	d := s.Items.Dimension()
	if len(prior) != d {
		return nil, fmt.Errorf("fold-in: prior of dimension %d in a space of dimension %d", len(prior), d)
	}
	u := &User{space: s, session: session, factor: append([]float64(nil), s.base...), fromPrior: make([]float64, d)}
	for i := range d {
		u.factor[i*d+i] += s.lambda * float64(len(session))
	}
	for i := range d {
		for j, p := range prior {
			u.fromPrior[i] += u.factor[i*d+j] * float64(p)
		}
	}
	right := append([]float64(nil), u.fromPrior...)
	for _, seen := range session {
		v := s.Items.Row(seen.Row)
		for i, x := range v {
			wx := seen.Weight * float64(x)
			right[i] += wx
			row := u.factor[i*d : i*d+i+1] // Factor reads the lower triangle only
			for j := range row {
				row[j] += wx * float64(v[j])
			}
		}
	}
	if err := cholesky.Factor(u.factor, d); err != nil {
		return nil, fmt.Errorf("fold-in of %d items: %w", len(session), err)
	}
	cholesky.Solve(u.factor, d, right)
	u.Vector = make([]float32, d)
	for i, x := range right {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("fold-in of %d items: the user vector is not finite", len(session))
		}
		u.Vector[i] = float32(x)
	}
	return u, nil
}

// User is a user folded into a space.
type User struct {
	Vector []float32

	space     *Space
	session   []Weighted
	factor    []float64 // Cholesky factor of the system
	fromPrior []float64 // the prior's share of its right side
}

// Explain splits the score ⟨u, v⟩ of the item in row into the prior's part and one part for each item of the session,
// in its order; they add up to the score. A part may be negative. Source: Hu, Koren, Volinsky 2008, section 5.
func (u *User) Explain(row int) (prior float64, parts []float64) {
	d := u.space.Items.Dimension()
	z := make([]float64, d)
	for i, x := range u.space.Items.Row(row) {
		z[i] = float64(x)
	}
	cholesky.Solve(u.factor, d, z)
	for i, x := range u.fromPrior {
		prior += z[i] * x
	}
	parts = make([]float64, len(u.session))
	for k, seen := range u.session {
		for i, x := range u.space.Items.Row(seen.Row) {
			parts[k] += seen.Weight * z[i] * float64(x)
		}
	}
	return prior, parts
}
