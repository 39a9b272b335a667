// Package train turns interactions and entities into a tuned, measured model: hold out, search settings on a
// validation part, measure the winner against popularity on pairs nobody looked at, decide, train again on everything.
package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// Entity is a user or an item as its table describes it.
type Entity struct {
	ID     string
	Name   string          // for people
	Values features.Record // features and display columns
}

// Input is everything that is learned from.
type Input struct {
	Interactions           *Interactions // Run sorts it
	Users, Items           []Entity      // all that exist, with or without interactions; may be empty
	UserFields, ItemFields []features.Field
	Active                 *Active // the model that is served now, if there is one
}

// Settings steer a training. The zero value chooses everything from the data.
type Settings struct {
	Dimension  int              // 0: chosen on the validation part
	Epochs     int              // 0: chosen on the validation part
	Seed       uint64           // of initial factors and of the bootstrap
	K          int              // length of the lists that are measured; 0: 20, or 10 below smallCatalogue items
	TuneBudget time.Duration    // no further trial starts after it; 0: no bound, and then the result is reproducible
	Now        func() time.Time // needed with TuneBudget only
}

// smallCatalogue: among fewer items, a list of 20 finds a good part of anything by chance and tells models apart badly.
const smallCatalogue = 200

// Stages of a training, in order.
const (
	Tuning   = "tuning"   // trials on the validation part
	Testing  = "testing"  // the chosen settings, and the active model's, measured on the test part; and without some users and items
	Training = "training" // the chosen settings on everything
)

// Progress is reported after each epoch and each trial.
type Progress struct {
	Stage         string
	Trial, Trials int // counted from 1; Trials is about how many there will be
	Dimension     int
	Alpha0        float64
	Lambda        float64
	Epoch         als.Epoch
	Measured      *evaluate.Metrics // set when the stage has just measured a ranking
}

// ErrTooFew says that nothing can be held out, so nothing can be measured, so nothing may be published.
var ErrTooFew = errors.New("too few interactions to hold any out: at least one user needs two or more different items")

// Run trains and measures. The same input and settings give the same bits, on any number of cores and in any order of rows,
// unless a tuning budget cuts the search. Errors: als.ErrEmpty, ErrTooFew, a feature that cannot be read, the context's.
func Run(ctx context.Context, in Input, s Settings, progress func(Progress)) (model.Content, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if in.Interactions == nil || in.Interactions.Len() == 0 {
		return model.Content{}, fmt.Errorf("train: %w", als.ErrEmpty)
	}
	p := newProblem(in.Interactions)
	if s.Dimension < 0 || s.Dimension > len(p.items) {
		return model.Content{}, fmt.Errorf("train: dimension %d: want at most the number of items with interactions, %d, or 0 to have it chosen", s.Dimension, len(p.items))
	}
	if s.Epochs < 0 {
		return model.Content{}, fmt.Errorf("train: %d epochs: want at least 1, or 0 to have it chosen", s.Epochs)
	}
	if s.K == 0 {
		s.K = 20
		if len(p.items) < smallCatalogue {
			s.K = 10
		}
	}
	parts, err := p.split()
	if err != nil {
		return model.Content{}, fmt.Errorf("train: %w", err)
	}
	t := &tuner{validation: parts.validation, byChance: parts.about.Method == leaveOut, settings: s, progress: progress}
	best, epochs, err := t.search(ctx)
	if err != nil {
		return model.Content{}, fmt.Errorf("train: tuning: %w", err)
	}
	metrics := model.Metrics{
		HoldOut: parts.about, TuningStopped: t.stopped,
		Data: model.Data{
			Users: len(p.users), Items: len(p.items), Rows: int64(in.Interactions.Len()) + in.Interactions.withoutValue,
			WithoutValue: in.Interactions.withoutValue,
		},
	}
	for _, trial := range t.trials {
		metrics.Trials = append(metrics.Trials, trial.result)
	}
	all, err := p.matrix(p.every())
	if err != nil {
		return model.Content{}, fmt.Errorf("train: %w", err)
	}
	metrics.Data.Pairs = all.Len()
	e := examination{problem: p, all: all, test: parts.test.sample(tested), chosen: best, epochs: epochs, settings: s, progress: progress}
	if err := e.measure(ctx, in.Active, &metrics); err != nil {
		return model.Content{}, fmt.Errorf("train: test: %w", err)
	}
	if !p.sessions {
		if metrics.ColdStart, err = e.coldStart(ctx, in); err != nil {
			return model.Content{}, fmt.Errorf("train: cold start: %w", err)
		}
	}
	factors, unit, err := learn(ctx, all, best, epochs, s.Seed, Training, progress)
	if err != nil {
		return model.Content{}, fmt.Errorf("train: %w", err)
	}
	metrics.Settings = best.settings(epochs, unit, s.Seed)
	content, err := assemble(in, p, all, factors, metrics)
	if err != nil {
		return model.Content{}, fmt.Errorf("train: %w", err)
	}
	if reason := vanished(content); reason != "" {
		content.Metrics.State, content.Metrics.Reason = lake.Rejected, reason
	}
	return content, nil
}

// learn trains a setting to its end.
func learn(ctx context.Context, m als.Interactions, p point, epochs int, seed uint64, stage string, progress func(Progress)) (als.Factors, float64, error) {
	learned, unit, err := weighted(m, p.weights)
	if err != nil {
		return als.Factors{}, 0, err
	}
	cfg := p.config(epochs, seed)
	factors, err := als.Train(ctx, learned.Scaled(unit), cfg, func(e als.Epoch) { progress(at(stage, cfg, e)) })
	return factors, unit, err
}

func at(stage string, cfg als.Config, e als.Epoch) Progress {
	return Progress{Stage: stage, Dimension: cfg.Dimension, Alpha0: cfg.Alpha0, Lambda: cfg.Lambda, Epoch: e}
}
