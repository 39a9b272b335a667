package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/trainset"
)

// joiner builds the training set of a run when its last table is curated.
type joiner struct {
	store    lake.Store
	bucket   string
	dataset  *dataset.Dataset
	catalog  tableCatalog
	database string
	settings trainset.Settings
	metrics  *metrics.Emitter
	now      func() time.Time
}

type tableCatalog interface {
	Register(context.Context, catalog.Table) error
}

var _ tableCatalog = (*catalog.Catalog)(nil)

// Handle takes S3's "Object Created" event of a curated table's marker. Every table of the run
// brings one: all but the last find what is missing and stop.
func (j *joiner) Handle(ctx context.Context, event events.EventBridgeEvent) error {
	key, err := lake.CreatedMarker(event, j.bucket, "curated")
	if err != nil {
		return err
	}
	table, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, j.store, key, lake.CuratedFormat)
	if err != nil {
		return err
	}
	if table.Dataset != j.dataset.Name {
		return fmt.Errorf("%s is of dataset %q, this function's is %q: see the stack's parameter Dataset", key, table.Dataset, j.dataset.Name)
	}
	log := slog.With("dataset", table.Dataset, "table", table.Table, "run", string(table.Run))
	if !trainset.InDataset(j.dataset, table.Table) {
		log.InfoContext(ctx, "table has no part in the training set: nothing to do")
		return nil
	}
	started := j.now()
	result, err := trainset.Write(ctx, j.store, j.dataset, table.Run, j.settings)
	switch {
	case errors.Is(err, lake.ErrSuperseded):
		log.InfoContext(ctx, "training set is not built: "+err.Error())
		return nil
	case err != nil:
		return err
	case result.Waiting != nil:
		log.InfoContext(ctx, "training set waits for tables of this run", "tables", result.Waiting)
		return nil
	}
	m := result.Marker
	// After publishing, and also when it was there already: a crash between the two is made good by the retry.
	if err := j.catalog.Register(ctx, catalog.Table{
		Database: j.database, Name: m.Table, Description: "Training set of dataset " + m.Dataset + ", each day",
		Location: "s3://" + j.bucket + "/" + lake.TrainingRoot(m.Dataset), Columns: m.Columns, Day: m.Run.Date(),
	}); err != nil {
		return err
	}
	if !result.Published {
		log.InfoContext(ctx, "training set is already published: nothing to do", "rows", m.Rows)
		return nil
	}
	took := j.now().Sub(started)
	log.InfoContext(ctx, "training set published", "rows", m.Rows, "files", len(m.Files), "orphans", m.Orphans,
		"engine", m.Engine, "reason", m.EngineReason, "seconds", took.Seconds())
	var size, orphans int64
	for _, f := range m.Files {
		size += f.Size
	}
	for _, n := range m.Orphans {
		orphans += n
	}
	j.metrics.Emit(map[string]string{"Dataset": m.Dataset},
		metrics.Metric{Name: "TrainingRows", Unit: metrics.Count, Value: float64(m.Rows)},
		metrics.Metric{Name: "TrainingBytes", Unit: metrics.Bytes, Value: float64(size)},
		metrics.Metric{Name: "OrphanedRows", Unit: metrics.Count, Value: float64(orphans)},
		metrics.Metric{Name: "JoinSeconds", Unit: metrics.Seconds, Value: took.Seconds()},
	)
	return nil
}
