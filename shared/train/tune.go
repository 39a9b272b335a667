package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// The search starts on a coarse grid and then walks from the best point as long as it gets better, in steps of a third of the grid's
// and, at the final dimension, of half of that again. The best α0 differs between data sets by three orders of magnitude (sparse
// sessions near .0003, dense ratings near 1: Rendle et al. 2021, table 3), so the grid spans 3.5; λ matters less and depends on how
// noisy a row is.
var (
	alpha0Grid = []float64{0.0003, 0.003, 0.03, 0.3, 1}
	lambdaGrid = []float64{0.001, 0.01, 0.1}
	decayGrid  = []float64{1, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2}
	blendGrid  = []float64{0, 0.03, 0.1, 0.3, 1, 3}
)

const (
	coarseStep = 3.0 // √10 rounded: the grid is ten apart
	fineStep   = 1.7 // √3 rounded
	// walkRounds bounds a walk: λ and α0 pull each other along.
	walkRounds = 3
	// tooFar below the best trial after as many epochs is not made good by more epochs.
	tooFar = 0.9

	// asGood of the best merit is as good, where what is held out is any part of the rows: of settings that differ by no more than about a
	// standard error the more regularized is chosen (Breiman et al. 1984). What comes tomorrow is less like the rest than such a part is.
	asGood = 0.99

	// searchDimension is where α0 and λ are searched: their optimum hardly moves with d, the cost grows with d².
	searchDimension = 32
	// minDimension and maxDimension bound the search for d; above, the gain per second is small and --dim decides.
	minDimension = 8
	maxDimension = 128
	// worthDoubling is the gain in merit that twice the memory and four times the time must bring.
	worthDoubling = 1.01

	// asked bounds the ranking of a trial: 16,000 users, or sessions, give recall a standard error below .004, and its difference between two
	// settings a fifth of that.
	asked = 16000
)

// firstDecay is where the search for a session's decay starts.
const firstDecay = 0.4

// checkpoints are the epochs after which a trial is measured when their number is open.
var checkpoints = []int{3, 5, 8, 12, 16}

// point is what a trial tries.
type point struct {
	dimension      int
	alpha0, lambda float64
	weights        string
	decay, blend   float64 // of sessions
}

// settings are those of a published model.
func (p point) settings(epochs int, unit float64, seed uint64) model.Settings {
	return model.Settings{
		Dimension: p.dimension, Epochs: epochs, Alpha0: p.alpha0, Lambda: p.lambda, Weights: p.weights, WeightUnit: unit, Decay: p.decay, Blend: p.blend, Seed: seed,
	}
}

// pointOf is the inverse.
func pointOf(s model.Settings) point {
	return point{dimension: s.Dimension, alpha0: s.Alpha0, lambda: s.Lambda, weights: cmp.Or(s.Weights, Linear), decay: s.Decay, blend: s.Blend}
}

func (p point) config(epochs int, seed uint64) als.Config {
	return als.Config{Dimension: p.dimension, Epochs: epochs, Alpha0: p.alpha0, Lambda: p.lambda, Seed: seed}
}

type tuner struct {
	validation exam
	byChance   bool // what is held out is any part of the rows, not the latest
	settings   Settings
	progress   func(Progress)

	at         int // the dimension that is being searched
	trials     []tried
	stopped    string
	overBudget func() bool
}

type tried struct {
	point  point
	result model.Trial
	merits map[int]float64 // by epoch
}

// merit is what settings are chosen by: the geometric mean of what the lists hold and of how well they are ordered, the two that the gate
// asks for. Near the best settings one of them often still rises while the other falls; chosen by ndcg alone, Gowalla at d = 128
// lost 1.2 % of the validation part's recall for .2 % of ndcg.
func merit(m evaluate.Metrics) float64 { return math.Sqrt(m.Recall * m.NDCG) }

// errBudget ends the search where it stands.
var errBudget = errors.New("tuning budget is spent")

// search returns the settings with the greatest merit on the validation part.
func (t *tuner) search(ctx context.Context) (point, int, error) {
	t.validation = t.validation.sample(asked)
	t.overBudget = func() bool { return false }
	if t.settings.TuneBudget > 0 {
		end := t.settings.Now().Add(t.settings.TuneBudget)
		t.overBudget = func() bool { return t.settings.Now().After(end) }
	}
	err := t.explore(ctx)
	if err != nil && !errors.Is(err, errBudget) {
		return point{}, 0, err
	}
	best, found := t.best(t.settings.Dimension)
	if !found { // the budget allowed none of the dimension asked for
		if best, found = t.best(0); !found {
			return point{}, 0, fmt.Errorf("no setting could be measured: %s", t.trials[0].result.Failure)
		}
		best.point.dimension = t.settings.Dimension
	}
	if t.byChance && err == nil {
		if best, err = t.regularizeMore(ctx, best); err != nil && !errors.Is(err, errBudget) {
			return point{}, 0, err
		}
	}
	return best.point, best.result.Epochs, nil
}

func (t *tuner) explore(ctx context.Context) error {
	start := point{dimension: t.settings.Dimension, weights: Linear}
	if start.dimension == 0 || start.dimension > searchDimension {
		start.dimension = min(searchDimension, t.largestDimension())
	}
	t.at = start.dimension
	if t.validation.questions != nil {
		start.decay = firstDecay
	}
	// From the middle outwards: a budget that is soon spent has then seen the likeliest.
	for _, lambda := range middleFirst(lambdaGrid) {
		for _, alpha0 := range middleFirst(alpha0Grid) {
			start.alpha0, start.lambda = alpha0, lambda
			if err := t.try(ctx, start); err != nil {
				return err
			}
		}
	}
	if err := t.walk(ctx, coarseStep); err != nil {
		return err
	}
	if err := t.compareWeights(ctx); err != nil {
		return err
	}
	if err := t.compareSessions(ctx); err != nil {
		return err
	}
	if err := t.walkDimensions(ctx); err != nil {
		return err
	}
	if err := t.walk(ctx, fineStep); err != nil {
		return err
	}
	return t.compareSessions(ctx)
}

// regularizeMore raises λ, a few times, as long as the result is as good as the best.
func (t *tuner) regularizeMore(ctx context.Context, best tried) (tried, error) {
	chosen := best
	for range walkRounds {
		to := alongLambda(chosen.point, fineStep)
		if err := t.try(ctx, to); err != nil {
			return chosen, err
		}
		next := t.trials[t.find(to)]
		if next.result.Epochs == 0 || merit(next.result.Validation) < asGood*merit(best.result.Validation) {
			break
		}
		chosen = next
	}
	return chosen, nil
}

// walk climbs along λ and α0 in turn until neither is better a step away.
func (t *tuner) walk(ctx context.Context, step float64) error {
	for range walkRounds {
		moved := false
		for _, along := range []func(point, float64) point{alongLambda, alongAlpha0} {
			climbed, err := t.climb(ctx, along, step)
			if err != nil {
				return err
			}
			moved = moved || climbed
		}
		if !moved {
			return nil
		}
	}
	return nil
}

func alongLambda(p point, factor float64) point { p.lambda = tidy(p.lambda * factor); return p }

// alongAlpha0 keeps λ·α0: a row's regularization is λ(|S| + α0·n), of which the second term is by far the larger on sparse data. With λ
// kept, every step would change both, and the ridge that the best settings lie on (Gowalla: α0 .0003 … .03 at λ·α0 = .00004) is not climbed.
func alongAlpha0(p point, factor float64) point {
	p.alpha0, p.lambda = tidy(p.alpha0*factor), tidy(p.lambda/factor)
	return p
}

// climb goes from the best point of the dimension at hand downwards, or else upwards, as long as it gets better.
func (t *tuner) climb(ctx context.Context, along func(point, float64) point, step float64) (moved bool, err error) {
	from, found := t.here()
	if !found {
		return false, nil
	}
	for _, factor := range []float64{1 / step, step} {
		for {
			to := along(from, factor)
			if err := t.try(ctx, to); err != nil {
				return moved, err
			}
			if now, _ := t.best(to.dimension); now.point != to {
				break
			}
			from, moved = to, true
		}
		if moved {
			return true, nil
		}
	}
	return false, nil
}

// here is the best point of the dimension that is asked for or, before that was tried, of all.
func (t *tuner) here() (point, bool) {
	for _, dimension := range []int{t.at, 0} {
		if best, found := t.best(dimension); found {
			return best.point, true
		}
	}
	return point{}, false
}

// compareWeights tries the other ways to count weights, if there are different ones.
func (t *tuner) compareWeights(ctx context.Context) error {
	from, found := t.best(0)
	if !found || !varied(t.validation.seen) {
		return nil
	}
	for _, weights := range []string{Logarithmic, Equal} {
		to := from.point
		to.weights = weights
		if err := t.try(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

// compareSessions trains the best point once more and asks its factors with sessions weighed and blended differently, in turn until
// neither is better.
func (t *tuner) compareSessions(ctx context.Context) error {
	if t.validation.questions == nil {
		return nil
	}
	from, found := t.here()
	if !found {
		return nil
	}
	best, _ := t.best(from.dimension)
	factors, _, err := learn(ctx, t.validation.seen, from, best.result.Epochs, t.settings.Seed, Tuning, func(Progress) {})
	if err != nil {
		return err
	}
	for range walkRounds {
		before, _ := t.best(from.dimension)
		for _, decay := range decayGrid {
			to := before.point
			to.decay = decay
			if err := t.ask(ctx, factors, to, best.result.Epochs); err != nil {
				return err
			}
		}
		now, _ := t.best(from.dimension)
		blends := slices.Clone(blendGrid)
		if b := now.point.blend; b > 0 {
			blends = []float64{tidy(b / fineStep), tidy(b * fineStep)}
		}
		for _, blend := range blends {
			to := now.point
			to.blend = blend
			if err := t.ask(ctx, factors, to, best.result.Epochs); err != nil {
				return err
			}
		}
		if now, _ := t.best(from.dimension); now.point == before.point {
			return nil
		}
	}
	return nil
}

// ask measures a point by factors that another of the same training has.
func (t *tuner) ask(ctx context.Context, factors als.Factors, p point, epochs int) error {
	if t.find(p) >= 0 {
		return nil
	}
	if err := t.checkBudget(); err != nil {
		return err
	}
	measured, err := t.validation.measure(ctx, factors, p, t.settings.K)
	if err != nil {
		return err
	}
	trial := newTrial(p)
	trial.result.Epochs, trial.result.Validation, trial.merits[epochs] = epochs, measured.Metrics, merit(measured.Metrics)
	t.report(p.config(epochs, t.settings.Seed), als.Epoch{Number: epochs, Of: epochs}, &measured.Metrics)
	t.trials = append(t.trials, trial)
	return nil
}

// find is the position of a point's trial, -1 before it was tried.
func (t *tuner) find(p point) int {
	return slices.IndexFunc(t.trials, func(done tried) bool { return done.point == p })
}

func (t *tuner) checkBudget() error {
	if len(t.trials) > 0 && t.overBudget() {
		t.stopped = fmt.Sprintf("after %d trials: the budget of %s is spent", len(t.trials), t.settings.TuneBudget)
		return errBudget
	}
	return nil
}

func newTrial(p point) tried {
	return tried{point: p, merits: map[int]float64{}, result: model.Trial{
		Dimension: p.dimension, Alpha0: p.alpha0, Lambda: p.lambda, Weights: p.weights, Decay: p.decay, Blend: p.blend,
	}}
}

// walkDimensions doubles d while that is worth its price, or until it is the one asked for; or halves it while that is better. With d the
// best λ falls, so each d climbs along λ.
func (t *tuner) walkDimensions(ctx context.Context) error {
	to, found := t.here()
	if !found {
		return nil
	}
	try := func(d int) (err error) {
		to.dimension, t.at = d, d
		if err = t.try(ctx, to); err == nil {
			_, err = t.climb(ctx, alongLambda, fineStep)
		}
		if best, found := t.best(d); found {
			to = best.point
		}
		return err
	}
	if wanted := t.settings.Dimension; wanted != 0 {
		for to.dimension < wanted {
			if err := try(min(2*to.dimension, wanted)); err != nil {
				return err
			}
		}
		return nil
	}
	first := to
	for _, next := range []func(int) int{func(d int) int { return d * 2 }, func(d int) int { return d / 2 }} {
		to = first
		for at := next(to.dimension); at >= minDimension && at <= t.largestDimension(); at = next(at) {
			if err := try(at); err != nil {
				return err
			}
			if best, _ := t.best(0); best.point.dimension != at {
				break
			}
		}
	}
	best, _ := t.best(0)
	t.at = best.point.dimension
	return nil
}

// largestDimension: more dimensions than half the rows of the smaller side would memorise rather than generalise.
func (t *tuner) largestDimension() int {
	return max(1, min(maxDimension, t.validation.seen.Users/2, t.validation.seen.Items/2))
}

// try measures one setting, once. The error is the context's or errBudget; a setting that cannot be trained is a failed trial.
func (t *tuner) try(ctx context.Context, p point) error {
	if t.find(p) >= 0 {
		return nil
	}
	if err := t.checkBudget(); err != nil {
		return err
	}
	measureAt := checkpoints
	if t.settings.Epochs > 0 {
		measureAt = []int{t.settings.Epochs}
	}
	cfg := p.config(measureAt[len(measureAt)-1], t.settings.Seed)
	trial := newTrial(p)
	learned, unit, err := weighted(t.validation.seen, p.weights)
	if err != nil {
		return err
	}
	solver, err := als.NewSolver(learned.Scaled(unit), cfg)
	if err != nil {
		return err
	}
	for range cfg.Epochs {
		epoch, err := solver.Epoch(ctx)
		if errors.Is(err, als.ErrNoSolution) {
			trial.result.Failure = err.Error()
			break
		} else if err != nil {
			return err
		}
		if !slices.Contains(measureAt, epoch.Number) {
			t.report(cfg, epoch, nil)
			continue
		}
		measured, err := t.validation.measure(ctx, solver.Factors(), p, t.settings.K)
		if err != nil {
			return err
		}
		t.report(cfg, epoch, &measured.Metrics)
		reached := merit(measured.Metrics)
		trial.merits[epoch.Number] = reached
		if trial.result.Epochs > 0 && reached <= merit(trial.result.Validation) {
			break // more epochs only fit the training pairs better
		}
		trial.result.Epochs, trial.result.Validation = epoch.Number, measured.Metrics
		if t.hopeless(p.dimension, epoch.Number, reached) {
			break
		}
	}
	t.trials = append(t.trials, trial)
	return nil
}

// hopeless says that another trial of the dimension was far better after as many epochs.
func (t *tuner) hopeless(dimension, epoch int, reached float64) bool {
	for _, other := range t.trials {
		if other.point.dimension == dimension && reached < tooFar*other.merits[epoch] {
			return true
		}
	}
	return false
}

// best is the measured trial of the greatest merit, of one dimension or, if it is 0, of all: there a larger one must be worth its price.
// Of equal ones the first.
func (t *tuner) best(dimension int) (best tried, found bool) {
	for _, trial := range t.trials {
		if trial.result.Epochs == 0 || dimension != 0 && trial.point.dimension != dimension {
			continue
		}
		bar := merit(best.result.Validation)
		if trial.point.dimension > best.point.dimension {
			bar *= worthDoubling
		}
		if !found || merit(trial.result.Validation) > bar {
			best, found = trial, true
		}
	}
	return best, found
}

func (t *tuner) report(cfg als.Config, e als.Epoch, measured *evaluate.Metrics) {
	p := at(Tuning, cfg, e)
	p.Trial, p.Measured = len(t.trials)+1, measured
	p.Trials = max(p.Trial, len(alpha0Grid)*len(lambdaGrid)+8*walkRounds+2)
	if t.validation.questions != nil {
		p.Trials = max(p.Trial, p.Trials+2*(len(decayGrid)+len(blendGrid)))
	}
	t.progress(p)
}

func middleFirst(grid []float64) []float64 {
	sorted := slices.Clone(grid)
	middle := float64(len(grid)-1) / 2
	place := map[float64]float64{}
	for n, x := range grid {
		place[x] = math.Abs(float64(n) - middle)
	}
	slices.SortStableFunc(sorted, func(a, b float64) int { return int(2 * (place[a] - place[b])) })
	return sorted
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
