package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/vectorstore"
)

// experimentRequest is what `millrace experiment` asks for.
type experimentRequest struct {
	Do        string   `json:"do"` // start, weigh, stop or status
	Control   string   `json:"control"`
	Treatment string   `json:"treatment"`
	Weight    *float64 `json:"weight"` // the share of users that get the treatment
	Anyway    bool     `json:"anyway"` // though the trainer rejected one
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
		e, err = l.start(ctx, r, by)
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

// start loads what is not in the database first. Nobody is shown it before the experiment begins.
func (l *loader) start(ctx context.Context, r experimentRequest, by string) (vectorstore.Experiment, error) {
	e, err := l.store.StartExperiment(ctx, r.Control, r.Treatment, *r.Weight, by)
	var absent *vectorstore.NotLoadedError
	if !errors.As(err, &absent) {
		return e, err
	}
	for _, version := range absent.Versions {
		if err := checkVersion(version); err != nil {
			return e, err
		}
		out, err := modelloader.LoadAside(ctx, l.objects, l.store, lake.ModelMarker(version), by, r.Anyway)
		if err != nil {
			return e, err
		}
		slog.InfoContext(ctx, "model loaded for an experiment", "version", version, "reason", out.Reason, "index", out.Index)
	}
	return l.store.StartExperiment(ctx, r.Control, r.Treatment, *r.Weight, by)
}
