package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

// seed of initial factors and of the bootstrap. Any number does; a fixed one makes a retry write the same bytes.
const seed = 1

// tuneShare: the search may take a quarter of an invocation; the last trial may run over it, and then there are four trainings as long as
// that one: the chosen settings to be measured, the active model's, once more without some users and items, and on everything. The
// demo needs seconds of 900.
const tuneShare = 4

// trainer turns a published training set into a published model.
type trainer struct {
	store   lake.Store
	bucket  string
	dataset *dataset.Dataset
	memory  int64 // bytes that a training may take; 0: it is not known
	metrics *metrics.Emitter
	now     func() time.Time
}

// Handle takes S3's "Object Created" event of a training set's marker.
func (t *trainer) Handle(ctx context.Context, event events.EventBridgeEvent) error {
	key, err := lake.CreatedMarker(event, t.bucket, "training")
	if err != nil {
		return err
	}
	return t.Train(ctx, key)
}

// Train trains on the set that the marker at key publishes.
func (t *trainer) Train(ctx context.Context, key string) error {
	set, marker, err := lake.ReadMarker[lake.TrainingSuccess](ctx, t.store, key, lake.TrainingFormat)
	if err != nil {
		return err
	}
	if set.Dataset != t.dataset.Name {
		return fmt.Errorf("%s is of dataset %q, this function's is %q: see the stack's parameter Dataset", key, set.Dataset, t.dataset.Name)
	}
	version := lake.ModelVersion(set.Run, marker)
	log := slog.With("dataset", set.Dataset, "run", string(set.Run), "version", version)

	published, err := model.Open(ctx, t.store, lake.ModelMarker(version))
	if err == nil {
		log.InfoContext(ctx, "model is already published: nothing to do", "state", published.Manifest.State)
		return t.tellRejection(ctx, published.Manifest) // a crash may have come between the two
	} else if !errors.Is(err, lake.ErrNotFound) {
		return err
	}

	if err := t.fits(ctx, set, log); err != nil {
		return err
	}
	started := t.now()
	input, err := train.FromLake(ctx, t.store, t.dataset, set)
	if err != nil {
		return err
	}
	if input.Active, err = t.active(ctx, log); err != nil {
		return err
	}
	log.InfoContext(ctx, "training starts", "rows", set.Rows, "users", len(input.Users), "items", len(input.Items))
	chosen := train.Settings{Seed: seed}
	if deadline, limited := ctx.Deadline(); limited {
		chosen.TuneBudget, chosen.Now = deadline.Sub(started)/tuneShare, t.now
	}
	content, err := train.Run(ctx, input, chosen, func(p train.Progress) { logProgress(ctx, log, p) })
	if err != nil {
		return fmt.Errorf("model %s: %w", version, err)
	}
	manifest, first, err := model.Write(ctx, model.Destination{
		Store: t.store, Dir: lake.ModelDir(version), Version: version,
		Dataset: set.Dataset, Run: set.Run, Parents: []lake.Parent{marker},
	}, content)
	if err != nil {
		return err
	}
	took := t.now().Sub(started)
	log.InfoContext(ctx, "model published", "state", manifest.State, "reason", manifest.Reason, "first", first,
		"dimension", manifest.Dimension, "items", manifest.Counts.Items, "users", manifest.Counts.Users, "seconds", took.Seconds())
	t.emit(content.Metrics, took)
	return t.tellRejection(ctx, manifest)
}

// fits tells before anything is read whether a training of that size can end here, and what it takes if it cannot.
func (t *trainer) fits(ctx context.Context, set lake.TrainingSuccess, log *slog.Logger) error {
	size := train.Size{Rows: set.Rows, Dimension: train.LargestDimension}
	for _, parent := range set.Parents {
		table, err := lake.ReadParent[lake.CuratedSuccess](ctx, t.store, parent, lake.CuratedFormat)
		switch {
		case err != nil:
			return fmt.Errorf("training set of run %s: %w", set.Run, err)
		case table.Table == t.dataset.Users.Table:
			size.Users += table.Rows
		case table.Table == t.dataset.Items.Table:
			size.Items += table.Rows
		}
	}
	needs := size.Memory()
	log.InfoContext(ctx, "training measured", "rows", set.Rows, "users", size.Users, "items", size.Items, "needsMiB", needs>>20, "hasMiB", t.memory>>20)
	if t.memory == 0 || needs <= t.memory {
		return nil
	}
	remedy := "deploy with TrainerImage: the same program in a container takes up to 120 GB"
	if needs <= largestFunction {
		remedy = fmt.Sprintf("deploy with TrainerMemory=%d or more", needs>>20+1)
	}
	return fmt.Errorf("a model of %d rows, %d users and %d items takes up to %d MiB, and %d MiB are here: %s",
		set.Rows, size.Users, size.Items, needs>>20+1, t.memory>>20, remedy)
}

// largestFunction is Lambda's limit.
const largestFunction = 10240 << 20

// active reads the model that is served now, to compare with: nil if there is none, or none that can be trained again.
func (t *trainer) active(ctx context.Context, log *slog.Logger) (*train.Active, error) {
	now, err := lake.ReadActiveModel(ctx, t.store)
	if errors.Is(err, lake.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	artifact, err := model.Open(ctx, t.store, now.Manifest.Key)
	if err == nil {
		var active *train.Active
		if active, err = train.ReadActive(ctx, artifact); err == nil {
			return active, nil
		}
	}
	if !errors.Is(err, train.ErrNotComparable) && !errors.Is(err, lake.ErrNotFound) {
		return nil, err
	}
	// An artifact from elsewhere, or one that was deleted: popularity is then the only bar.
	log.WarnContext(ctx, "the active model is not compared with", "active", now.Version, "cause", err.Error())
	return nil, nil
}

// tellRejection publishes, once, why a model is not served: S3 makes an EventBridge event of it.
func (t *trainer) tellRejection(ctx context.Context, m lake.ModelManifest) error {
	if m.State != lake.Rejected {
		return nil
	}
	text, err := json.MarshalIndent(map[string]any{
		"format": "millrace/rejection/1", "dataset": m.Dataset, "run": m.Run, "version": m.Version, "reason": m.Reason, "metrics": m.Metrics,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := t.store.PutIf(ctx, lake.ModelRejection(m.Version), text, ""); err != nil && !errors.Is(err, lake.ErrChanged) {
		return fmt.Errorf("tell that model %s was rejected: %w", m.Version, err)
	}
	return nil
}

// logProgress logs each measured ranking, and each epoch of the stages that train to the end.
func logProgress(ctx context.Context, log *slog.Logger, p train.Progress) {
	log = log.With("stage", p.Stage, "dimension", p.Dimension, "alpha0", p.Alpha0, "lambda", p.Lambda, "epoch", p.Epoch.Number)
	switch {
	case p.Measured != nil:
		log.InfoContext(ctx, "measured", "trial", p.Trial, "k", p.Measured.K, "recall", p.Measured.Recall, "ndcg", p.Measured.NDCG)
	case p.Stage == train.Tuning:
		log.DebugContext(ctx, "epoch", "trial", p.Trial, "loss", p.Epoch.Loss)
	default:
		log.InfoContext(ctx, "epoch", "of", p.Epoch.Of, "loss", p.Epoch.Loss)
	}
}

func (t *trainer) emit(m model.Metrics, took time.Duration) {
	var rejected float64
	if m.State == lake.Rejected {
		rejected = 1
	}
	t.metrics.Emit(map[string]string{"Dataset": t.dataset.Name},
		metrics.Metric{Name: "TrainSeconds", Unit: metrics.Seconds, Value: took.Seconds()},
		metrics.Metric{Name: "TrainingInteractions", Unit: metrics.Count, Value: float64(m.Data.Pairs)},
		metrics.Metric{Name: "ModelRecall", Unit: metrics.None, Value: m.Model.Recall},
		metrics.Metric{Name: "ModelNDCG", Unit: metrics.None, Value: m.Model.NDCG},
		metrics.Metric{Name: "PopularityNDCG", Unit: metrics.None, Value: m.Popularity.NDCG},
		metrics.Metric{Name: "ModelsRejected", Unit: metrics.Count, Value: rejected},
	)
}
