package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/vectorstore"
)

// loader loads the model whose manifest an event announces.
type loader struct {
	objects lake.Store
	bucket  string
	store   *vectorstore.Store
	metrics *metrics.Emitter
	now     func() time.Time
}

// request is S3's "Object Created" event of a models/<version>/manifest.json, or a command of `millrace`: an operator's
// terminal seldom reaches the database, this function does.
type request struct {
	events.EventBridgeEvent
	Command string `json:"command"` // "", rollback, promote or experiment

	Version string `json:"version"` // of promote
	Anyway  bool   `json:"anyway"`  // of promote
	By      string `json:"by"`      // who decides it
	Reason  string `json:"reason"`

	Experiment experimentRequest `json:"experiment"`
}

// response is for whoever invokes the function by hand.
type response struct {
	Version   string `json:"version,omitempty"`
	Activated bool   `json:"activated"`
	Reason    string `json:"reason,omitempty"`
	Replaced  string `json:"replaced,omitempty"`
	Index     string `json:"index,omitempty"`

	Active   string `json:"active,omitempty"` // after a rollback
	Previous string `json:"previous,omitempty"`

	Experiment *vectorstore.Experiment `json:"experiment,omitempty"` // the running one or the last; none yet
}

// Handle does what the request asks. An error means that the active version is what it was; Lambda tries an event
// again and then leaves it in the queue of failed invocations.
func (l *loader) Handle(ctx context.Context, r request) (response, error) {
	answer, err := l.do(ctx, r)
	if err != nil {
		return response{}, err
	}
	// Last, and again at a repetition: the trainer compares tomorrow's model with the one that this names.
	err = lake.WriteActiveModel(ctx, l.objects, func() (lake.ActiveModel, error) {
		a, err := l.store.LastActivation(ctx)
		return lake.ActiveModel{
			Version: a.Version, Manifest: lake.Parent{Key: a.ManifestKey, SHA256: a.ManifestSHA256}, Since: a.At.UTC(), By: a.By, Reason: a.Reason,
		}, err
	})
	if errors.Is(err, vectorstore.ErrNoModel) { // the first version was rejected, or nothing was loaded yet
		err = nil
	}
	return answer, err
}

func (l *loader) do(ctx context.Context, r request) (response, error) {
	switch r.Command {
	case "":
		return l.load(ctx, r.EventBridgeEvent)
	case "rollback":
		if err := l.store.Migrate(ctx); err != nil {
			return response{}, err
		}
		from, to, err := l.store.Rollback(ctx, cmp.Or(r.By, "somebody"), cmp.Or(r.Reason, "no reason given"))
		if err != nil {
			return response{}, err
		}
		slog.WarnContext(ctx, "rolled back", "from", from.Version, "to", to.Version)
		return response{Active: to.Version, Previous: from.Version}, nil
	case "promote":
		return l.promote(ctx, r)
	case "experiment":
		e, err := l.experiment(ctx, r.Experiment, r.By, r.Reason)
		return response{Experiment: e}, err
	}
	return response{}, fmt.Errorf("command %q: there are rollback, promote and experiment", r.Command)
}

func (l *loader) promote(ctx context.Context, r request) (response, error) {
	if r.By == "" || r.Reason == "" || checkVersion(r.Version) != nil {
		return response{}, fmt.Errorf("promote %q by %q because %q: want a version, who decides it, and why", r.Version, r.By, r.Reason)
	}
	out, err := modelloader.Promote(ctx, l.objects, l.store, lake.ModelMarker(r.Version), modelloader.Promotion{
		Promotion: vectorstore.Promotion{By: r.By, Reason: r.Reason}, Anyway: r.Anyway,
	})
	if err != nil {
		return response{}, err
	}
	slog.WarnContext(ctx, "promoted", "version", out.Version, "activated", out.Activated, "reason", out.Reason, "replaced", out.Replaced)
	return response{Version: out.Version, Activated: out.Activated, Reason: out.Reason, Replaced: out.Replaced, Index: out.Index}, nil
}

// checkVersion refuses what is no name of a model's folder.
func checkVersion(version string) error {
	if version == "" || strings.ContainsAny(version, "/%*") {
		return fmt.Errorf("%q is no model version (millrace status shows them)", version)
	}
	return nil
}

func (l *loader) load(ctx context.Context, event events.EventBridgeEvent) (response, error) {
	key, err := lake.CreatedMarker(event, l.bucket, "models")
	if err != nil {
		return response{}, err
	}
	started := l.now()
	out, err := modelloader.Load(ctx, l.objects, l.store, key)
	if err != nil {
		return response{}, err
	}
	took := l.now().Sub(started)
	slog.InfoContext(ctx, "model dealt with", "version", out.Version, "activated", out.Activated, "reason", out.Reason,
		"replaced", out.Replaced, "index", out.Index, "prewarmed", out.Prewarmed, "copySeconds", out.Took.Copy.Seconds(), "indexSeconds", out.Took.Index.Seconds(),
		"recallSeconds", out.Took.Recall.Seconds(), "dropped", out.Dropped, "seconds", took.Seconds())
	activated := 0.0
	if out.Activated {
		activated = 1
	}
	l.metrics.Emit(nil,
		metrics.Metric{Name: "ModelsActivated", Unit: metrics.Count, Value: activated},
		metrics.Metric{Name: "LoadSeconds", Unit: metrics.Seconds, Value: took.Seconds()})
	return response{Version: out.Version, Activated: out.Activated, Reason: out.Reason, Replaced: out.Replaced, Index: out.Index}, nil
}
