package foldin

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/cholesky"
)

// Weighted is an item of a session by its row, with its weight (> 0; 1 is an average interaction).
type Weighted struct {
	Row    int
	Weight float64
}

// User is a user folded into a space.
type User struct {
	Vector []float32

	space   *Space
	session []Weighted
	start   []float32 // the prior p
	prior   []float64 // ⟨v_k, p⟩ of each item of the session
	root    []float64 // 1/√H along the axes
	// Short sessions: rows V·H^-½ along the axes, width apart, and the Cholesky factor of W⁻¹ + V H⁻¹ Vᵀ (n×n).
	// Long ones: rows V along the axes, and the factor of H + Vᵀ W V (d×d).
	rows, factor []float64
	long         bool
}

var errNotFinite = errors.New("the user vector is not finite")

// Fold solves, for a session of n weighted items v and a prior p (length d),
//
//	(H + Σ w·v·vᵀ) u = H·p + Σ w·v        H = α0·G + λ(n + α0·|V|)·I
//
// With p = 0 this is the row of a user in training (Hu, Koren, Volinsky 2008, eq. 4, regularized as in package als).
// H is also the curvature that training gave p, so an empty session returns p itself, and every item moves u away
// from p as much as it would have moved it in training.
//
// A session shorter than d is solved in its own n dimensions (Woodbury): u = p + H⁻¹Vᵀc with (W⁻¹ + V H⁻¹ Vᵀ) c = 1 − V p.
// The items must be different, as Weigh makes them; prior and session must not change while the user is in use.
func (s *Space) Fold(prior []float32, session []Weighted) (*User, error) {
	d, n := s.Items.Dimension(), len(session)
	if len(prior) != d {
		return nil, fmt.Errorf("fold-in: prior of dimension %d in a space of dimension %d", len(prior), d)
	}
	u := &User{Vector: append([]float32(nil), prior...), space: s, session: session, start: prior, long: n > d}
	if n == 0 {
		return u, nil
	}
	size := min(n, d)
	memory := make([]float64, (n+3)*s.width+n+size*size+max(n, d))
	take := func(n int) []float64 {
		part := memory[:n:n]
		memory = memory[n:]
		return part
	}
	u.rows, u.root, u.prior, u.factor = take(n*s.width), take(s.width), take(n), take(size*size)
	step, moved, right := take(s.width), take(s.width), take(max(n, d))
	for j, h := range s.curvature {
		u.root[j] = 1 / math.Sqrt(h+s.lambda*float64(n))
	}
	for k, seen := range session {
		v := s.Items.Row(seen.Row)
		s.along(u.rows[k*s.width:(k+1)*s.width], v)
		for i, x := range v {
			u.prior[k] += float64(x) * float64(prior[i])
		}
	}
	var err error
	if u.long {
		err = u.solveLong(step, right[:d])
	} else {
		err = u.solveShort(step, right[:n])
	}
	if err != nil {
		return nil, fmt.Errorf("fold-in of %d items: %w", n, err)
	}
	for j, x := range step[:d] {
		s.set.Add(moved, s.out[j*s.width:(j+1)*s.width], x)
	}
	for i := range u.Vector {
		x := float64(prior[i]) + moved[i]
		u.Vector[i] = float32(x)
		if math.IsNaN(x) || math.Abs(x) > math.MaxFloat32 {
			return nil, fmt.Errorf("fold-in of %d items: %w", n, errNotFinite)
		}
	}
	return u, nil
}

// solveShort sets step to u − p along the axes.
func (u *User) solveShort(step, c []float64) error {
	n, width := len(u.session), u.space.width
	for k, seen := range u.session {
		row := u.rows[k*width : (k+1)*width]
		for j, r := range u.root {
			row[j] *= r
		}
		for l := range k + 1 {
			u.factor[k*n+l] = cholesky.Dot(row, u.rows[l*width:(l+1)*width])
		}
		u.factor[k*n+k] += 1 / seen.Weight
		c[k] = 1 - u.prior[k]
	}
	if err := cholesky.Factor(u.factor, n); err != nil {
		return err
	}
	cholesky.Solve(u.factor, n, c)
	for k, x := range c {
		u.space.set.Add(step, u.rows[k*width:(k+1)*width], x)
	}
	for j, r := range u.root {
		step[j] *= r
	}
	return nil
}

func (u *User) solveLong(step, x []float64) error {
	d, width := u.space.Items.Dimension(), u.space.width
	for j := range d {
		u.factor[j*d+j] = 1 / (u.root[j] * u.root[j])
	}
	for k, seen := range u.session {
		row := u.rows[k*width : k*width+d]
		for i, v := range row {
			wv := seen.Weight * v
			x[i] += wv * (1 - u.prior[k])
			lower := u.factor[i*d : i*d+i+1]
			for j := range lower {
				lower[j] += wv * row[j]
			}
		}
	}
	if err := cholesky.Factor(u.factor, d); err != nil {
		return err
	}
	cholesky.Solve(u.factor, d, x)
	copy(step, x)
	return nil
}

// along adds v's coordinates along the axes to into, which has the space's width.
func (s *Space) along(into []float64, v []float32) {
	for i, x := range v {
		s.set.Add(into, s.in[i*s.width:(i+1)*s.width], float64(x))
	}
}

// Score is ⟨u, v⟩ of the item in row, with what Blend adds.
func (u *User) Score(row int) float32 {
	score := u.space.set.Dot(u.Vector, u.space.Items.Row(row))
	if t := u.space.together; t != nil {
		for _, seen := range u.session {
			score += float32(u.space.blend*seen.Weight) * t.Strength(seen.Row, row)
		}
	}
	return score
}

// Explain splits Score of the item in row into the prior's part and one part for each item of the session, in its order; they
// add up to the score. A part may be negative. Source: Hu, Koren, Volinsky 2008, section 5; what Blend adds belongs to the
// item that it comes from.
func (u *User) Explain(row int) (prior float64, parts []float64) {
	s, n := u.space, len(u.session)
	item := s.Items.Row(row)
	for i, p := range u.start {
		prior += float64(item[i]) * float64(p)
	}
	if n == 0 {
		return prior, nil
	}
	z := make([]float64, s.width)
	s.along(z, item)
	parts = make([]float64, n)
	if u.long {
		cholesky.Solve(u.factor, s.Items.Dimension(), z)
		for k, seen := range u.session {
			parts[k] = seen.Weight * cholesky.Dot(u.rows[k*s.width:(k+1)*s.width], z)
		}
	} else {
		for j, r := range u.root {
			z[j] *= r
		}
		for k := range parts {
			parts[k] = cholesky.Dot(u.rows[k*s.width:(k+1)*s.width], z)
		}
		cholesky.Solve(u.factor, n, parts)
	}
	for k, part := range parts {
		prior -= part * u.prior[k]
		if s.together != nil {
			parts[k] += s.blend * u.session[k].Weight * float64(s.together.Strength(u.session[k].Row, row))
		}
	}
	return prior, parts
}
