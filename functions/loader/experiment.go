package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/shared/vectorstore"
)

// experimentRequest is what `millrace experiment` asks for.
type experimentRequest struct {
	Do        string   `json:"do"` // start, weigh, stop or status
	Control   string   `json:"control"`
	Treatment string   `json:"treatment"`
	Weight    *float64 `json:"weight"` // the share of users that get the treatment
}

// experiment returns the experiment as it is then; nil if there never was one.
func (l *loader) experiment(ctx context.Context, r experimentRequest, by, reason string) (*vectorstore.Experiment, error) {
	if err := l.store.Migrate(ctx); err != nil {
		return nil, err
	}
	var e vectorstore.Experiment
	var err error
	switch {
	case r.Do == "status":
		e, err = l.store.LatestExperiment(ctx)
		if errors.Is(err, vectorstore.ErrNoExperiment) {
			return nil, nil
		}
		return &e, err
	case by == "":
		return nil, fmt.Errorf("experiment %s: want who decides it", r.Do)
	case r.Do == "stop":
		e, err = l.store.StopExperiment(ctx, fmt.Sprintf("stopped by %s: %s", by, reason))
	case r.Weight == nil && (r.Do == "start" || r.Do == "weigh"):
		return nil, fmt.Errorf("experiment %s: want a weight", r.Do)
	case r.Do == "start":
		e, err = l.store.StartExperiment(ctx, r.Control, r.Treatment, *r.Weight, by)
	case r.Do == "weigh":
		e, err = l.store.WeighExperiment(ctx, *r.Weight, by)
	default:
		return nil, fmt.Errorf("experiment %q: there are start, weigh, stop and status", r.Do)
	}
	if err != nil {
		return nil, err
	}
	slog.WarnContext(ctx, "experiment changed", "did", r.Do, "experiment", e.N, "control", e.Control, "treatment", e.Treatment, "weight", e.Weight, "by", by, "reason", reason)
	return &e, nil
}
