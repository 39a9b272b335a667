package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

const (
	// tested bounds the users, or sessions, that the final figures are of: with 50,000 recall has a standard error below .002.
	tested = 50_000
	// neighbourWork bounds the item-based baseline, in pairs of items that one user has: some ten seconds of one core.
	neighbourWork = 2e9
)

// examination measures the chosen settings on what neither training nor tuning has seen.
type examination struct {
	problem  *problem
	all      als.Interactions
	test     exam
	chosen   point
	epochs   int
	settings Settings
	progress func(Progress)
}

// measure trains without the test part and compares with the baselines and the active model, which have seen no more.
func (e examination) measure(ctx context.Context, active *Active, m *model.Metrics) error {
	factors, _, err := learn(ctx, e.test.seen, e.chosen, e.epochs, e.settings.Seed, Testing, e.progress)
	if err != nil {
		return err
	}
	k := e.settings.K
	ours, err := e.test.measure(ctx, factors, e.chosen, k)
	if err != nil {
		return err
	}
	popular, err := e.test.rank(ctx, evaluate.Popularity(e.test.seen), k)
	if err != nil {
		return err
	}
	m.Model, m.Confidence, m.Popularity = ours.Metrics, ours.Confidence(e.settings.Seed), popular.Metrics
	if evaluate.NeighbourWork(e.test.seen) <= neighbourWork {
		near, err := e.test.neighbours(ctx, e.chosen.decay, k)
		if err != nil {
			return err
		}
		m.ItemNeighbours = &near.Metrics
	}
	if m.Gain, err = evaluate.Compare(ours, popular, e.settings.Seed); err != nil {
		return err
	}
	if active != nil {
		if m.Active, err = e.compareWithActive(ctx, active, ours); err != nil {
			return err
		}
	}
	m.State, m.Reason = decide(*m)
	done := at(Testing, e.chosen.config(e.epochs, 0), als.Epoch{Number: e.epochs, Of: e.epochs, Loss: math.NaN()})
	done.Measured = &m.Model
	e.progress(done)
	return nil
}

// Active is the model that is served now: what it learned from, and how.
type Active struct {
	Version  string
	Settings model.Settings
	Pairs    []model.Pair
}

// ErrNotComparable says that an artifact does not say enough to be trained again.
var ErrNotComparable = errors.New("the artifact does not say what it was trained on and how")

// ReadActive reads an artifact as the model to compare with: ErrNotComparable if it is one from elsewhere.
func ReadActive(ctx context.Context, a *model.Artifact) (*Active, error) {
	m, err := a.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	active := &Active{Version: a.Manifest.Version, Settings: m.Settings}
	for pair, err := range a.Interactions(ctx) {
		if err != nil {
			return nil, err
		}
		active.Pairs = append(active.Pairs, pair)
	}
	if s := m.Settings; len(active.Pairs) == 0 || s.Dimension < 1 || s.Epochs < 1 || s.Alpha0 <= 0 || s.Lambda <= 0 {
		return nil, fmt.Errorf("model %s: %w", active.Version, ErrNotComparable)
	}
	return active, nil
}

// compareWithActive measures the active model on the same test part. As it is, it has seen much of that part; so it is trained again, with
// its own settings and on its own interactions, without the pairs that are asked for.
func (e examination) compareWithActive(ctx context.Context, active *Active, ours evaluate.Result) (*model.Comparison, error) {
	users, items := numbering(e.problem.users), numbering(e.problem.items)
	var list []als.Interaction
	for _, pair := range active.Pairs {
		u, i := users.of(pair.User), items.of(pair.Item)
		if int(u) < e.all.Users && int(i) < e.all.Items && has(e.all, u, i) && !has(e.test.seen, u, i) {
			continue // held out today
		}
		list = append(list, als.Interaction{User: u, Item: i, Weight: pair.Weight})
	}
	learned, err := als.Collect(len(users.list), len(items.list), list)
	if err != nil {
		return nil, fmt.Errorf("active model %s: %w", active.Version, err)
	}
	if learned.Len() == 0 {
		return nil, nil // it knew nothing but what is asked for
	}
	factors, _, err := learn(ctx, learned, pointOf(active.Settings), active.Settings.Epochs, active.Settings.Seed, Testing, e.progress)
	if err != nil {
		return nil, fmt.Errorf("active model %s: %w", active.Version, err)
	}
	d := factors.Dimension
	factors.Items = factors.Items[:e.all.Items*d]
	ranking, popular := evaluate.Factors(factors), evaluate.WeightSums(learned.Transpose())
	theirs, err := e.test.rank(ctx, func(batch []int, scores [][]float32) {
		ranking(batch, scores)
		for n, u := range batch {
			if known, _ := learned.Row(u); len(known) == 0 { // it would serve them what is popular
				for i := range scores[n] {
					scores[n][i] = float32(popular[i])
				}
			}
		}
	}, e.settings.K)
	if err != nil {
		return nil, err
	}
	gain, err := evaluate.Compare(ours, theirs, e.settings.Seed)
	return &model.Comparison{Version: active.Version, Model: theirs.Metrics, Gain: gain}, err
}

// numbering starts with ids that are numbered already.
func numbering(list []string) *ids {
	s := &ids{}
	for _, id := range list {
		s.of(id)
	}
	return s
}

func has(m als.Interactions, user, item int32) bool {
	items, _ := m.Row(int(user))
	_, found := slices.BinarySearch(items, item)
	return found
}
