// Package modelloader takes a published model from the lake into the vector store.
package modelloader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"path"

	"github.com/aws/smithy-go"

	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/vectorstore"
)

// What a function of 1,024 MB with 2,048 MB in /tmp can hold, checked before any of it is read. Tables are copied there, two at once at most;
// 512 MiB is two million items of dimension 64. An encoder of dimension 1,024 takes some 12 MB of memory.
const (
	maxTable   = 512 << 20
	maxEncoder = 64 << 20
	// The ids of all items are in memory while users are read: some 50 bytes each.
	maxItems = 5_000_000
)

// Load loads the model that a manifest publishes and makes it active, or records why not. A manifest that the trainer's gate
// rejected is recorded and no error. A defective artifact is recorded as rejected and is an error; the active
// version stays. Everything else that fails can be tried again. Loading what is loaded already changes nothing.
func Load(ctx context.Context, objects lake.Store, store *vectorstore.Store, manifestKey string) (vectorstore.Outcome, error) {
	return load(ctx, objects, store, manifestKey, wish{put: func(m vectorstore.Model, _ string) (vectorstore.Outcome, error) { return store.Load(ctx, m) }})
}

// Promotion is an operator's decision to serve a version.
type Promotion struct {
	vectorstore.Promotion
	Anyway bool // though the trainer's gate rejected it
}

// ErrRejected says that the trainer's gate rejected a version that an operator wants.
var ErrRejected = errors.New("the trainer rejected it")

// Promote loads a version because somebody decided so. An artifact with a defect is refused as by Load; one that the gate rejected too
// (ErrRejected), unless it is wanted anyway.
func Promote(ctx context.Context, objects lake.Store, store *vectorstore.Store, manifestKey string, p Promotion) (vectorstore.Outcome, error) {
	return load(ctx, objects, store, manifestKey, wish{true, p.Anyway, func(m vectorstore.Model, though string) (vectorstore.Outcome, error) {
		p.Reason += though
		return store.Promote(ctx, m, p.Promotion)
	}})
}

// LoadAside loads a version without making it active, for an experiment. It refuses what Promote refuses.
func LoadAside(ctx context.Context, objects lake.Store, store *vectorstore.Store, manifestKey, by string, anyway bool) (vectorstore.Outcome, error) {
	return load(ctx, objects, store, manifestKey, wish{true, anyway, func(m vectorstore.Model, though string) (vectorstore.Outcome, error) {
		return store.LoadAside(ctx, m, "for an experiment, by "+by+though)
	}})
}

// wish is what is to become of a version.
type wish struct {
	decided bool // by an operator
	anyway  bool // though the gate rejected it
	put     func(m vectorstore.Model, though string) (vectorstore.Outcome, error)
}

func load(ctx context.Context, objects lake.Store, store *vectorstore.Store, manifestKey string, w wish) (vectorstore.Outcome, error) {
	if err := store.Migrate(ctx); err != nil {
		return vectorstore.Outcome{}, err
	}
	artifact, err := model.Open(ctx, objects, manifestKey)
	if err != nil {
		return vectorstore.Outcome{}, rejectUnreadable(ctx, store, manifestKey, err)
	}
	m, err := describe(artifact, manifestKey)
	rejected := err == nil && artifact.Manifest.State == lake.Rejected
	if rejected && w.decided && !w.anyway {
		return vectorstore.Outcome{}, fmt.Errorf("model %s: %w: %s (--anyway serves it all the same)", m.Version, ErrRejected, artifact.Manifest.Reason)
	}
	if rejected && !w.decided {
		reason := "rejected by the trainer: " + artifact.Manifest.Reason
		return vectorstore.Outcome{Version: m.Version, Reason: reason}, store.Reject(ctx, m, reason)
	}
	if err == nil {
		m.Encoder, err = encoder(ctx, artifact)
	}
	if err == nil && artifact.Has(model.MetricsFile) { // not needed, but listed
		_, err = artifact.Metrics(ctx)
	}
	if err != nil {
		return vectorstore.Outcome{}, reject(ctx, store, m, classify(err))
	}
	number := map[string]int32{} // of each item, while they are read
	m.Items = entities(artifact.Items(ctx), func(e *vectorstore.Entity) error {
		number[e.ID] = int32(len(number))
		return nil
	})
	bought, stop := newPurchases(artifact.Interactions(ctx), number)
	defer stop()
	m.Users = entities(artifact.Users(ctx), bought.of)
	m.Cooccurrences = cooccurrences(ctx, artifact, number)
	though := ""
	if rejected {
		though = " (though the trainer rejected it: " + artifact.Manifest.Reason + ")"
	}
	out, err := w.put(m, though)
	return out, reject(ctx, store, m, err)
}

// describe checks what can be checked before anything large is read.
func describe(a *model.Artifact, manifestKey string) (vectorstore.Model, error) {
	manifest := a.Manifest
	m := vectorstore.Model{
		Version: versionOf(manifestKey, manifest.Version), Dataset: manifest.Dataset, Run: string(manifest.Run),
		ManifestKey: manifestKey, ManifestSHA256: a.Marker.SHA256, Dimension: manifest.Dimension, Distance: manifest.Distance,
		ItemCount: manifest.Counts.Items, UserCount: manifest.Counts.Users,
	}
	var problems []error
	if manifest.Version != m.Version {
		problems = append(problems, fmt.Errorf("the manifest of %s says it is version %q", m.Version, manifest.Version))
	}
	if manifest.Counts.Items < 1 || manifest.Counts.Items > maxItems || manifest.Counts.Users < 0 {
		problems = append(problems, fmt.Errorf("%d items and %d users, want 1 to %d items", manifest.Counts.Items, manifest.Counts.Users, maxItems))
	}
	if manifest.Dimension > vectorstore.MaxDimension {
		problems = append(problems, fmt.Errorf("dimension %d: pgvector holds 1 to %d", manifest.Dimension, vectorstore.MaxDimension))
	}
	for _, f := range manifest.Files {
		limit := int64(maxTable)
		if path.Base(f.Key) == model.EncoderFile {
			limit = maxEncoder
		}
		if f.Size < 1 || f.Size > limit {
			problems = append(problems, fmt.Errorf("%s has %d bytes, want 1 to %d", path.Base(f.Key), f.Size, limit))
		}
	}
	metrics, err := json.Marshal(manifest.Metrics)
	if err != nil {
		problems = append(problems, fmt.Errorf("metrics: %w", err))
	}
	m.Metrics = metrics
	return m, errors.Join(problems...)
}

// versionOf is the name of the manifest's folder in the lake; in a directory of its own a model is called what its manifest says.
func versionOf(manifestKey, said string) string {
	if dir := path.Dir(manifestKey); dir != "." {
		return path.Base(dir)
	}
	return said
}

func encoder(ctx context.Context, a *model.Artifact) (json.RawMessage, error) {
	e, err := a.Encoder(ctx)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = features.WriteEncoder(&text, e)
	return text.Bytes(), err
}

// entities passes an artifact's rows on, completed; its errors are defects unless reading again may help.
func entities(rows iter.Seq2[model.Entity, error], complete func(*vectorstore.Entity) error) iter.Seq2[vectorstore.Entity, error] {
	return func(yield func(vectorstore.Entity, error) bool) {
		for e, err := range rows {
			entity := vectorstore.Entity{ID: e.ID, Name: e.Name, Embedding: e.Embedding, Bias: e.Bias, Cold: e.Cold, Features: e.Features}
			if err == nil {
				err = complete(&entity)
			}
			if err != nil {
				yield(vectorstore.Entity{}, classify(err))
				return
			}
			if !yield(entity, nil) {
				return
			}
		}
	}
}

// classify tells a defective artifact from trouble while reading it.
func classify(err error) error {
	var call *smithy.OperationError
	var network net.Error
	var file *fs.PathError // no space left in /tmp
	switch {
	case errors.Is(err, lake.ErrNotFound), errors.Is(err, lake.ErrStale): // the store's own words, whatever carried them
		return &vectorstore.Defect{Err: err}
	case errors.As(err, &call), errors.As(err, &network), errors.As(err, &file), errors.Is(err, lake.ErrInterrupted),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &vectorstore.Defect{Err: err}
}

// reject records a defect beside returning it.
func reject(ctx context.Context, store *vectorstore.Store, m vectorstore.Model, err error) error {
	var defect *vectorstore.Defect
	if errors.As(err, &defect) {
		m.Encoder = nil // it may be what is wrong
		return errors.Join(err, store.Reject(ctx, m, defect.Error()))
	}
	return err
}

// rejectUnreadable records a version whose manifest says nothing that can be relied on.
func rejectUnreadable(ctx context.Context, store *vectorstore.Store, manifestKey string, err error) error {
	version := versionOf(manifestKey, "")
	if errors.Is(err, lake.ErrNotFound) { // nothing to record
		return fmt.Errorf("there is no model %s (millrace status shows the versions): %w", version, err)
	}
	err = classify(err)
	if version == "" {
		return err
	}
	return reject(ctx, store, vectorstore.Model{Version: version, ManifestKey: manifestKey}, err)
}
