package main

import (
	"context"
	"log/slog"
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

// response is for whoever invokes the function by hand.
type response struct {
	Version   string `json:"version"`
	Activated bool   `json:"activated"`
	Reason    string `json:"reason"`
	Replaced  string `json:"replaced,omitempty"`
	Index     string `json:"index,omitempty"`
}

// Handle takes S3's "Object Created" event of a models/<version>/manifest.json. An error means that the active version
// is what it was; Lambda tries again and then leaves the event in the queue of failed invocations.
func (l *loader) Handle(ctx context.Context, event events.EventBridgeEvent) (response, error) {
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
		"replaced", out.Replaced, "index", out.Index, "dropped", out.Dropped, "seconds", took.Seconds())
	activated := 0.0
	if out.Activated {
		activated = 1
	}
	l.metrics.Emit(nil,
		metrics.Metric{Name: "ModelsActivated", Unit: metrics.Count, Value: activated},
		metrics.Metric{Name: "LoadSeconds", Unit: metrics.Seconds, Value: took.Seconds()})
	return response{out.Version, out.Activated, out.Reason, out.Replaced, out.Index}, nil
}
