// Package partition turns a raw run of a table into curated Parquet: split by the table's
// partition columns, sorted by its key, and published only if the values read back from the
// finished files have the checksum that the extraction recorded.
package partition

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Options are what the manifest does not say.
type Options struct {
	// Dataset is the description the partition columns come from, for messages; "" if a person named them.
	Dataset     string
	PartitionBy []string // columns, in the order of the folders
	Limits      Limits
}

// Result is a publication.
type Result struct {
	Marker lake.CuratedSuccess
	// Published is false if this very run was there already.
	Published bool
}

// Write curates the run that a raw manifest announces. A second call for the same manifest
// changes nothing. A newer run of the same day replaces an older one; for an older run that
// arrives late it returns lake.ErrSuperseded.
func Write(ctx context.Context, s lake.Store, manifestKey string, o Options) (Result, error) {
	manifest, parent, err := lake.ReadMarker[lake.RawManifest](ctx, s, manifestKey, lake.RawFormat)
	if err != nil {
		return Result{}, err
	}
	if belongs := lake.RawMarker(manifest.Table, manifest.Run); belongs != manifestKey {
		return Result{}, fmt.Errorf("manifest %s says table %s, run %s: it belongs at %s", manifestKey, manifest.Table, manifest.Run, belongs)
	}
	marker, published, err := lake.Replace(ctx, s, lake.Replacement[lake.CuratedSuccess]{
		Dir: lake.CuratedDir(manifest.Table, manifest.Run), Key: lake.CuratedMarker(manifest.Table, manifest.Run), Format: lake.CuratedFormat,
		Run: manifest.Run, Parents: []lake.Parent{parent},
		Same:  func(m lake.CuratedSuccess) bool { return slices.Equal(m.PartitionBy, o.PartitionBy) },
		Files: func(m lake.CuratedSuccess) []lake.File { return m.Files },
		Build: func(ctx context.Context, parents []lake.Parent) (lake.CuratedSuccess, error) {
			return build(ctx, s, parents, o)
		},
	})
	if err != nil {
		return Result{}, fmt.Errorf("table %s, run %s: %w", manifest.Table, manifest.Run, err)
	}
	return Result{marker, published}, nil
}

// build writes the curated files of the run whose raw manifest is the only parent.
func build(ctx context.Context, s lake.Store, parents []lake.Parent, o Options) (lake.CuratedSuccess, error) {
	if len(parents) != 1 {
		return lake.CuratedSuccess{}, fmt.Errorf("a curated table has one raw manifest as parent, not %d", len(parents))
	}
	manifest, err := lake.ReadParent[lake.RawManifest](ctx, s, parents[0], lake.RawFormat)
	if err == nil {
		err = check(&manifest, o)
	}
	if err != nil {
		return lake.CuratedSuccess{}, err
	}
	files, sum, err := split(ctx, s, &manifest, o)
	return lake.CuratedSuccess{
		Header: lake.Header{Format: lake.CuratedFormat, Dataset: manifest.Dataset, Run: manifest.Run, Parents: parents},
		Table:  manifest.Table, Mode: manifest.Mode, Watermark: manifest.Watermark,
		Columns: manifest.Columns, Key: manifest.Key, PartitionBy: o.PartitionBy,
		Files: files, Rows: sum.Rows, Checksum: sum,
	}, err
}

func (o Options) remedy() string {
	if o.Dataset == "" {
		return "name another column"
	}
	return fmt.Sprintf("correct partition_by in shared/dataset/%s.yaml", o.Dataset)
}

// check finds what cannot be right before anything is written.
func check(manifest *lake.RawManifest, o Options) error {
	if manifest.Checksum != manifest.Source {
		return fmt.Errorf("its manifest: the database counted %s, but %s were written: extract the run again", manifest.Source, manifest.Checksum)
	}
	if _, err := schema.Positions(manifest.Columns, manifest.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	for _, name := range o.PartitionBy {
		i := schema.Index(manifest.Columns, name)
		if i < 0 {
			return fmt.Errorf("there is no column %s.%s to partition by (there are: %v): %s",
				manifest.Table, name, schema.Names(manifest.Columns), o.remedy())
		}
		if kind := manifest.Columns[i].Kind; kind == schema.Bytes || kind == schema.Vector {
			return fmt.Errorf("column %s.%s of kind %s cannot name a folder: %s", manifest.Table, name, kind, o.remedy())
		}
	}
	return nil
}
