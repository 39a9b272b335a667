// Package als factorizes implicit feedback by alternating least squares.
//
// The loss over users u ∈ U and items v ∈ V, with x_uv = ⟨u, v⟩ and S the observed pairs, is
//
//	Σ_S w_uv (1 − x_uv)²  +  α0 Σ_{U×V} x_uv²  +  λ ( Σ_U (|S_u| + α0·|V|) ‖u‖²  +  Σ_V (|S_v| + α0·|U|) ‖v‖² )
//
// (Hu, Koren, Volinsky 2008; the regularization scaled by frequency with exponent ν = 1 and the initial deviation
// σ* = 0.1/√d are those of Rendle, Krichene, Zhang, Koren 2021, "Revisiting the Performance of iALS on Item Recommendation
// Benchmarks"). Fixing one side makes the loss quadratic in the other, row by row, so no step can raise it.
package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/cholesky"
)

// ConfigError names a setting that cannot be trained with.
type ConfigError struct {
	Setting string
	Value   any
	Want    string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("als: %s is %v, want %s", e.Setting, e.Value, e.Want)
}

// Config holds what the data does not say.
type Config struct {
	Dimension int     // d, the length of an embedding
	Epochs    int     // one epoch solves every user, then every item
	Alpha0    float64 // weight of a pair nobody observed, beside observed weights around 1
	Lambda    float64 // regularization
	Seed      uint64  // of the initial item factors
}

func (c Config) validate() error {
	var problems []error
	check := func(ok bool, setting string, value any, want string) {
		if !ok {
			problems = append(problems, &ConfigError{Setting: setting, Value: value, Want: want})
		}
	}
	check(c.Dimension > 0, "dimension", c.Dimension, "at least 1")
	check(c.Epochs > 0, "epochs", c.Epochs, "at least 1")
	check(c.Alpha0 > 0 && !math.IsInf(c.Alpha0, 1), "alpha0", c.Alpha0, "a finite number above zero")
	check(c.Lambda > 0 && !math.IsInf(c.Lambda, 1), "lambda", c.Lambda, "a finite number above zero")
	return errors.Join(problems...)
}

// Factors are the embeddings, row-major: Users is |U|×d, Items is |V|×d.
type Factors struct {
	Dimension    int
	Users, Items []float32
}

// User returns the embedding of user u; it belongs to the factors.
func (f Factors) User(u int) []float32 { return f.Users[u*f.Dimension : (u+1)*f.Dimension] }

// Item returns the embedding of item i; it belongs to the factors.
func (f Factors) Item(i int) []float32 { return f.Items[i*f.Dimension : (i+1)*f.Dimension] }

// Epoch is the state after one pass over both sides.
type Epoch struct {
	Number, Of int // counted from 1
	Loss       float64
}

// Train runs cfg.Epochs epochs, reporting each to progress (which may be nil).
// Errors: ErrEmpty, *ConfigError, cholesky.ErrNotPositiveDefinite (λ too small for float32), the context's.
func Train(ctx context.Context, m Interactions, cfg Config, progress func(Epoch)) (Factors, error) {
	s, err := NewSolver(m, cfg)
	if err != nil {
		return Factors{}, err
	}
	for range cfg.Epochs {
		epoch, err := s.Epoch(ctx)
		if err != nil {
			return Factors{}, err
		}
		if progress != nil {
			progress(epoch)
		}
	}
	return s.Factors(), nil
}

// Solver runs epoch by epoch, so that a caller can look at the factors in between.
type Solver struct {
	cfg            Config
	byUser, byItem Interactions
	factors        Factors
	done           int
}

// NewSolver draws the initial item factors from N(0, (0.1/√d)²).
func NewSolver(m Interactions, cfg Config) (*Solver, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if m.Len() == 0 {
		return nil, ErrEmpty
	}
	d := cfg.Dimension
	s := &Solver{cfg: cfg, byUser: m, byItem: m.Transpose(), factors: Factors{
		Dimension: d, Users: make([]float32, m.Users*d), Items: make([]float32, m.Items*d),
	}}
	random := rand.New(rand.NewPCG(cfg.Seed, 0))
	deviation := 0.1 / math.Sqrt(float64(d))
	for k := range s.factors.Items {
		s.factors.Items[k] = float32(random.NormFloat64() * deviation)
	}
	return s, nil
}

// Factors returns the embeddings as they are now; the next epoch overwrites them.
func (s *Solver) Factors() Factors { return s.factors }

// Epoch solves every user given the items, then every item given the users.
func (s *Solver) Epoch(ctx context.Context) (Epoch, error) {
	if err := solveSide(ctx, s.byUser, s.factors.Items, s.factors.Users, s.cfg); err != nil {
		return Epoch{}, fmt.Errorf("als: epoch %d, users: %w", s.done+1, err)
	}
	if err := solveSide(ctx, s.byItem, s.factors.Users, s.factors.Items, s.cfg); err != nil {
		return Epoch{}, fmt.Errorf("als: epoch %d, items: %w", s.done+1, err)
	}
	s.done++
	return Epoch{Number: s.done, Of: s.cfg.Epochs, Loss: Loss(s.byUser, s.factors, s.cfg)}, nil
}

// solveSide sets every row r of out to the minimum of the loss with the other side fixed:
//
//	(α0·G + Σ_k w_k v_k v_kᵀ + λ(|S_r| + α0·n) I) x = Σ_k w_k v_k        G = fixedᵀ·fixed, n = rows of fixed
//
// Rows do not depend on each other, so the number of cores changes nothing in the result.
func solveSide(ctx context.Context, m Interactions, fixed, out []float32, cfg Config) error {
	d := cfg.Dimension
	gramian := Gramian(fixed, d)
	for k := range gramian {
		gramian[k] *= float32(cfg.Alpha0)
	}
	return eachBlock(ctx, m.Users, func() func(from, to int) error {
		system := make([]float32, d*d)
		return func(from, to int) error {
			for r := from; r < to; r++ {
				x := out[r*d : (r+1)*d]
				clear(x)
				columns, weights := m.Row(r)
				if len(columns) == 0 {
					continue // the right side is zero, and so is the solution
				}
				copy(system, gramian)
				addOuterProducts(system, fixed, d, columns, weights)
				ridge := float32(cfg.Lambda * (float64(len(columns)) + cfg.Alpha0*float64(m.Items)))
				for i := range d {
					system[i*d+i] += ridge
				}
				addWeightedRows(x, fixed, d, columns, weights)
				if err := cholesky.Factor(system, d); err != nil {
					return fmt.Errorf("row %d: %w", r, err)
				}
				cholesky.Solve(system, d, x)
			}
			return nil
		}
	})
}

// Loss is the value of the package's loss at f, in float64.
func Loss(m Interactions, f Factors, cfg Config) float64 {
	d := f.Dimension
	observed := make([]float64, m.Users)
	// The error is always nil: nothing here fails and the context never ends.
	_ = eachBlock(context.Background(), m.Users, func() func(from, to int) error {
		return func(from, to int) error {
			for u := from; u < to; u++ {
				items, weights := m.Row(u)
				for k, i := range items {
					miss := 1 - float64(cholesky.Dot(f.User(u), f.Item(int(i))))
					observed[u] += float64(weights[k]) * miss * miss
				}
			}
			return nil
		}
	})
	var loss float64
	for _, x := range observed {
		loss += x
	}
	// Σ over all pairs of ⟨u,v⟩² is the inner product of the two Gramians: |U|·|V| products are never formed.
	users, items := Gramian(f.Users, d), Gramian(f.Items, d)
	for i := range d {
		for j := range i {
			loss += 2 * cfg.Alpha0 * float64(users[i*d+j]) * float64(items[i*d+j])
		}
		loss += cfg.Alpha0 * float64(users[i*d+i]) * float64(items[i*d+i])
	}
	perItem := make([]int, m.Items)
	for u := range m.Users {
		columns, _ := m.Row(u)
		for _, i := range columns {
			perItem[i]++
		}
		loss += cfg.Lambda * (float64(len(columns)) + cfg.Alpha0*float64(m.Items)) * squaredNorm(f.User(u))
	}
	for i, n := range perItem {
		loss += cfg.Lambda * (float64(n) + cfg.Alpha0*float64(m.Users)) * squaredNorm(f.Item(i))
	}
	return loss
}

func squaredNorm(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}

// blockRows is the unit of work that a core takes at a time: small enough to balance rows of very different length.
const blockRows = 64

// eachBlock runs the function that work returns over blocks of [0, rows) on every core; work is called once for
// each core, so that what it allocates is not shared. It stops at the first error or when the context ends.
func eachBlock(ctx context.Context, rows int, work func() func(from, to int) error) error {
	var (
		group sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
	)
	blocks := (rows + blockRows - 1) / blockRows
	for range min(runtime.GOMAXPROCS(0), blocks) {
		group.Go(func() {
			do := work()
			for {
				b := int(next.Add(1)) - 1
				if b >= blocks {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = do(b*blockRows, min((b+1)*blockRows, rows))
				}
				if err != nil {
					once.Do(func() { first = err })
					next.Store(int64(blocks))
					return
				}
			}
		})
	}
	group.Wait()
	return first
}
