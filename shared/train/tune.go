package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// The search starts on a coarse grid and then walks from the best point in steps of a third as long as it gets better.
// The best α0 differs between data sets by three orders of magnitude (sparse sessions near .0003, dense ratings near 1:
// Rendle et al. 2021, table 3), so the grid spans 3.5; λ matters less and depends on how noisy a row is.
var (
	alpha0Grid = []float64{0.0003, 0.003, 0.03, 0.3, 1}
	lambdaGrid = []float64{0.001, 0.01, 0.1}
)

const (
	refineStep = 3.0 // √10 rounded: the coarse grid is ten apart
	// refineRounds bounds the walk; two rounds leave at most a factor of 3 to the optimum of a smooth curve.
	refineRounds = 2

	// searchDimension is where α0 and λ are searched: their optimum hardly moves with d, the cost grows with d².
	searchDimension = 32
	// minDimension and maxDimension bound the search for d; above, the gain per second is small and --dimension decides.
	minDimension = 8
	maxDimension = 128

	// validationUsers bounds the ranking of a trial: 2,000 users give recall a standard error below .01.
	validationUsers = 2000
)

// checkpoints are the epochs after which a trial is measured when their number is open.
var checkpoints = []int{4, 8, 16}

type tuner struct {
	parts    parts
	settings Settings
	progress func(Progress)

	trials     []model.Trial
	validation als.Interactions // of the users that are measured
	fit        als.Interactions // weights around 1
	stopped    string
	overBudget func() bool
}

// errBudget ends the search where it stands.
var errBudget = errors.New("tuning budget is spent")

// search returns the settings with the best ndcg on the validation part.
func (t *tuner) search(ctx context.Context) (als.Config, error) {
	t.validation = everyNthUser(t.parts.validation, validationUsers)
	t.fit = t.parts.fit.Scaled(t.parts.fit.MeanWeight())
	t.overBudget = func() bool { return false }
	if t.settings.TuneBudget > 0 {
		end := t.settings.Now().Add(t.settings.TuneBudget)
		t.overBudget = func() bool { return t.settings.Now().After(end) }
	}
	err := t.walk(ctx)
	if err != nil && !errors.Is(err, errBudget) {
		return als.Config{}, err
	}
	best, found := t.best()
	if !found {
		return als.Config{}, fmt.Errorf("no setting could be measured: %s", t.trials[0].Failure)
	}
	if asked := t.settings.Dimension; asked != 0 && asked != best.Dimension {
		best.Dimension = asked // its own trial, if the budget allowed one, says how many epochs it wants
		for _, trial := range t.trials {
			if trial.Dimension == asked && trial.Epochs > 0 {
				best = trial
			}
		}
	}
	return als.Config{Dimension: best.Dimension, Epochs: best.Epochs, Alpha0: best.Alpha0, Lambda: best.Lambda, Seed: t.settings.Seed}, nil
}

func (t *tuner) walk(ctx context.Context) error {
	d := t.settings.Dimension
	if d == 0 || d > searchDimension {
		d = min(searchDimension, t.largestDimension())
	}
	for _, alpha0 := range alpha0Grid {
		for _, lambda := range lambdaGrid {
			if err := t.try(ctx, d, alpha0, lambda); err != nil {
				return err
			}
		}
	}
	for range refineRounds {
		from, found := t.best()
		if !found {
			return nil
		}
		for _, to := range [][2]float64{{refineStep, 1}, {1 / refineStep, 1}, {1, refineStep}, {1, 1 / refineStep}} {
			if err := t.try(ctx, d, tidy(from.Alpha0*to[0]), tidy(from.Lambda*to[1])); err != nil {
				return err
			}
		}
		if now, _ := t.best(); now.Alpha0 == from.Alpha0 && now.Lambda == from.Lambda {
			break
		}
	}
	return t.walkDimensions(ctx, d)
}

// walkDimensions halves and doubles d while that helps, or goes straight to the dimension asked for.
func (t *tuner) walkDimensions(ctx context.Context, d int) error {
	from, found := t.best()
	if !found {
		return nil
	}
	if asked := t.settings.Dimension; asked != 0 {
		return t.try(ctx, asked, from.Alpha0, from.Lambda)
	}
	for _, next := range []func(int) int{func(d int) int { return d * 2 }, func(d int) int { return d / 2 }} {
		for at := next(d); at >= minDimension && at <= t.largestDimension(); at = next(at) {
			if err := t.try(ctx, at, from.Alpha0, from.Lambda); err != nil {
				return err
			}
			if now, _ := t.best(); now.Dimension != at {
				break
			}
		}
	}
	return nil
}

// largestDimension: more dimensions than half the rows of the smaller side would memorise rather than generalise.
func (t *tuner) largestDimension() int {
	return max(1, min(maxDimension, t.fit.Users/2, t.fit.Items/2))
}

// try measures one setting, once. The error is the context's or errBudget; a setting that cannot be trained is a failed trial.
func (t *tuner) try(ctx context.Context, d int, alpha0, lambda float64) error {
	for _, done := range t.trials {
		if done.Dimension == d && done.Alpha0 == alpha0 && done.Lambda == lambda {
			return nil
		}
	}
	if len(t.trials) > 0 && t.overBudget() {
		t.stopped = fmt.Sprintf("after %d trials: the budget of %s is spent", len(t.trials), t.settings.TuneBudget)
		return errBudget
	}
	measureAt := checkpoints
	if t.settings.Epochs > 0 {
		measureAt = []int{t.settings.Epochs}
	}
	cfg := als.Config{Dimension: d, Alpha0: alpha0, Lambda: lambda, Seed: t.settings.Seed, Epochs: measureAt[len(measureAt)-1]}
	trial := model.Trial{Dimension: d, Alpha0: alpha0, Lambda: lambda}
	solver, err := als.NewSolver(t.fit, cfg)
	if err != nil {
		return err
	}
	for range cfg.Epochs {
		epoch, err := solver.Epoch(ctx)
		if errors.Is(err, cholesky.ErrNotPositiveDefinite) {
			trial.Failure = err.Error()
			break
		} else if err != nil {
			return err
		}
		if !slices.Contains(measureAt, epoch.Number) {
			t.report(cfg, epoch, nil)
			continue
		}
		measured, err := evaluate.Rank(ctx, evaluate.Factors(solver.Factors()), t.fit, t.validation, t.settings.K)
		if err != nil {
			return err
		}
		t.report(cfg, epoch, &measured.Metrics)
		if trial.Epochs > 0 && measured.NDCG <= trial.Validation.NDCG {
			break // more epochs only fit the training pairs better
		}
		trial.Epochs, trial.Validation = epoch.Number, measured.Metrics
	}
	t.trials = append(t.trials, trial)
	return nil
}

// best is the measured trial with the highest ndcg; of equal ones the first.
func (t *tuner) best() (best model.Trial, found bool) {
	for _, trial := range t.trials {
		if trial.Epochs > 0 && (!found || trial.Validation.NDCG > best.Validation.NDCG) {
			best, found = trial, true
		}
	}
	return best, found
}

func (t *tuner) report(cfg als.Config, e als.Epoch, measured *evaluate.Metrics) {
	p := at(Tuning, cfg, e)
	p.Trial, p.Measured = len(t.trials)+1, measured
	p.Trials = len(alpha0Grid)*len(lambdaGrid) + 4*refineRounds + int(math.Log2(maxDimension/minDimension))
	t.progress(p)
}

// tidy rounds to four significant digits: 0.003·3 is 0.009, and a setting tried before is recognised.
func tidy(x float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil {
		return x
	}
	return rounded
}

// everyNthUser keeps the rows of at most n users, spread evenly.
func everyNthUser(m als.Interactions, n int) als.Interactions {
	var with []int
	for u := range m.Users {
		if items, _ := m.Row(u); len(items) > 0 {
			with = append(with, u)
		}
	}
	if len(with) <= n {
		return m
	}
	var keep []als.Interaction
	for k := range n {
		u := with[k*len(with)/n]
		items, weights := m.Row(u)
		for j, i := range items {
			keep = append(keep, als.Interaction{User: int32(u), Item: i, Weight: weights[j]})
		}
	}
	sampled, err := als.Collect(m.Users, m.Items, keep)
	if err != nil {
		panic(err) // every pair comes from a valid matrix of the same shape
	}
	return sampled
}
