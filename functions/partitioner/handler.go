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
	"github.com/millrace/millrace/shared/partition"
)

// partitioner curates one raw run of a table per event.
type partitioner struct {
	store    lake.Store
	bucket   string
	dataset  *dataset.Dataset
	catalog  tableCatalog
	database string
	limits   partition.Limits
	metrics  *metrics.Emitter
	now      func() time.Time
}

type tableCatalog interface {
	Register(context.Context, catalog.Table) error
}

var _ tableCatalog = (*catalog.Catalog)(nil)

// Handle takes S3's "Object Created" event of a raw manifest.
func (p *partitioner) Handle(ctx context.Context, event events.EventBridgeEvent) error {
	key, err := lake.CreatedMarker(event, p.bucket, "raw")
	if err != nil {
		return err
	}
	manifest, _, err := lake.ReadMarker[lake.RawManifest](ctx, p.store, key, lake.RawFormat)
	if err != nil {
		return err
	}
	if manifest.Dataset != p.dataset.Name {
		return fmt.Errorf("%s is of dataset %q, this function's is %q: see the stack's parameter Dataset", key, manifest.Dataset, p.dataset.Name)
	}
	table, err := p.dataset.Table(manifest.Table)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	log := slog.With("table", manifest.Table, "run", string(manifest.Run))
	started := p.now()
	result, err := partition.Write(ctx, p.store, key, partition.Options{
		Dataset: p.dataset.Name, PartitionBy: table.PartitionBy, Limits: p.limits,
	})
	if errors.Is(err, lake.ErrSuperseded) {
		log.InfoContext(ctx, "run is not published: "+err.Error())
		return nil
	} else if err != nil {
		return err
	}
	// After publishing, and also when the run was there already: a crash between the two is made good by the retry.
	if err := p.catalog.Register(ctx, catalog.Table{
		Database: p.database, Name: manifest.Table, Description: "Table " + manifest.Table + " as extracted each day",
		Location: "s3://" + p.bucket + "/" + lake.CuratedRoot(manifest.Table), Columns: result.Marker.Columns, Day: manifest.Run.Date(),
	}); err != nil {
		return err
	}
	m := result.Marker
	if !result.Published {
		log.InfoContext(ctx, "run is already published: nothing to do", "rows", m.Rows)
		return nil
	}
	took := p.now().Sub(started)
	log.InfoContext(ctx, "run published", "rows", m.Rows, "files", len(m.Files), "checksum", m.Checksum.String(), "seconds", took.Seconds())
	var size int64
	for _, f := range m.Files {
		size += f.Size
	}
	p.metrics.Emit(map[string]string{"Table": m.Table},
		metrics.Metric{Name: "RowsPartitioned", Unit: metrics.Count, Value: float64(m.Rows)},
		metrics.Metric{Name: "BytesPartitioned", Unit: metrics.Bytes, Value: float64(size)},
		metrics.Metric{Name: "PartitionSeconds", Unit: metrics.Seconds, Value: took.Seconds()},
	)
	return nil
}
