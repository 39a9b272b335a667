// Package als factorizes implicit feedback by alternating least squares.
//
// The loss over users u ∈ U and items v ∈ V, with x_uv = ⟨u, v⟩ and S the observed pairs, is
//
//	Σ_S w_uv (1 − x_uv)²  +  α0 Σ_{U×V} x_uv²  +  λ ( Σ_U (|S_u| + α0·|V|) ‖u‖²  +  Σ_V (|S_v| + α0·|U|) ‖v‖² )
//
// (Hu, Koren, Volinsky 2008; the regularization scaled by frequency with exponent ν = 1 and the initial deviation
// σ* = 0.1/√d are those of Rendle, Krichene, Zhang, Koren 2021, "Revisiting the Performance of iALS on Item Recommendation
// Benchmarks"). Fixing one side makes the loss quadratic in the other, row by row, so no step can raise it.
//
// A dimension above the number of users or items is allowed: what the surplus could tell is zero, it only costs time and memory.
package als

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/eigen"
	"github.com/millrace/millrace/shared/kernel"
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

// ErrNoSolution says that numbers left the range or the precision of float32.
var ErrNoSolution = errors.New("no solution in float32: raise lambda, lower alpha0, or scale the weights to a mean around 1")

// Config holds what the data does not say.
type Config struct {
	Dimension int         // d, the length of an embedding
	Epochs    int         // one epoch solves every user, then every item
	Alpha0    float64     // weight of a pair nobody observed, beside observed weights around 1
	Lambda    float64     // regularization
	Seed      uint64      // of the initial item factors
	Kernel    *kernel.Set // nil: the fastest of this machine; another gives the same scores but for rounding
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

// Factors are the embeddings, row-major: Users is |U|×d, Items is |V|×d. Only their inner products have a meaning: every epoch
// turns the axes (both sides' alike) to the principal ones of the items, then of the users.
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
	Number, Of int     // counted from 1
	Loss       float64 // after the pass; it comes with the solutions (see row.go), not from a pass of its own
	Rows       int     // users and items that the pass solved: those with interactions
	Took       time.Duration
	Left       time.Duration // of the epochs that remain, at the mean pace so far
}

// RowsPerSecond is the pace of this epoch.
func (e Epoch) RowsPerSecond() float64 { return float64(e.Rows) / max(e.Took.Seconds(), 1e-9) }

// Train runs cfg.Epochs epochs, reporting each to progress (which may be nil).
// Errors: ErrEmpty, *ConfigError, ErrNoSolution, the context's.
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
	byUser, byItem *side
	factors        Factors
	memory         *memory
	done           int
	took           time.Duration
}

// NewSolver draws the initial item factors from N(0, (0.1/√d)²); those of items without interactions are zero.
func NewSolver(m Interactions, cfg Config) (*Solver, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if m.Len() == 0 {
		return nil, ErrEmpty
	}
	if cfg.Kernel == nil {
		cfg.Kernel = kernel.Fastest()
	}
	d := cfg.Dimension
	s := &Solver{cfg: cfg, byUser: newSide(m, d), byItem: newSide(m.Transpose(), d), factors: Factors{
		Dimension: d, Users: make([]float32, m.Users*d), Items: make([]float32, m.Items*d),
	}}
	longest, heavy := 0, 0
	for _, side := range []*side{s.byUser, s.byItem} {
		length := side.length(side.order[0])
		longest = max(longest, length)
		if side.heavy > 0 {
			heavy = max(heavy, length)
		}
	}
	s.memory = newMemory(cfg.Kernel, d, longest, partsOf(max(m.Users, m.Items, heavy), d), max(len(s.byUser.tasks), len(s.byItem.tasks)))
	random := rand.New(rand.NewPCG(cfg.Seed, 0))
	deviation := 0.1 / math.Sqrt(float64(d))
	for i := range m.Items {
		users, _ := s.byItem.matrix.Row(i)
		for k := range d {
			if x := random.NormFloat64() * deviation; len(users) > 0 {
				s.factors.Item(i)[k] = float32(x)
			}
		}
	}
	return s, nil
}

// Factors returns the embeddings as they are now; the next epoch overwrites them.
func (s *Solver) Factors() Factors { return s.factors }

// Epoch solves every user given the items, then every item given the users.
func (s *Solver) Epoch(ctx context.Context) (Epoch, error) {
	began := time.Now()
	users, err := s.solveSide(ctx, s.byUser, s.factors.Items, s.factors.Users)
	if err != nil {
		return Epoch{}, fmt.Errorf("als: epoch %d, users: %w", s.done+1, solution(err))
	}
	items, err := s.solveSide(ctx, s.byItem, s.factors.Users, s.factors.Items)
	if err != nil {
		return Epoch{}, fmt.Errorf("als: epoch %d, items: %w", s.done+1, solution(err))
	}
	s.done++
	took := time.Since(began)
	s.took += took
	return Epoch{
		Number: s.done, Of: s.cfg.Epochs,
		Loss: items.loss + users.regularization, // the items' rows hold every term but the users' regularization
		Rows: len(s.byUser.order) + len(s.byItem.order),
		Took: took, Left: s.took / time.Duration(s.done) * time.Duration(max(0, s.cfg.Epochs-s.done)),
	}, nil
}

// solution says what a failure of the linear algebra means here.
func solution(err error) error {
	if errors.Is(err, cholesky.ErrNotPositiveDefinite) || errors.Is(err, eigen.ErrNotFinite) {
		return fmt.Errorf("%w (%w)", ErrNoSolution, err)
	}
	return err
}
