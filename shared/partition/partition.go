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
	"github.com/millrace/millrace/shared/transform"
)

// Options are what the manifest does not say.
type Options struct {
	// Dataset is the description the partition columns come from, for messages; "" if a person named them.
	Dataset     string
	PartitionBy []string // columns and transforms as package transform reads them, in the order of the folders
	Limits      Limits
	disturb     disturb
}

// Result is a publication.
type Result struct {
	Marker lake.CuratedSuccess
	// Published is false if this very run was there already, intact.
	Published bool
}

// Write curates the run that a raw manifest announces. A second call for the same manifest
// changes nothing, and repairs files that are missing or damaged. A newer run of the same day replaces an older one; for an
// older run that arrives late it returns lake.ErrSuperseded.
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
		Same: func(m lake.CuratedSuccess) bool {
			by, err := o.transforms(m.Columns)
			return err == nil && slices.Equal(m.PartitionBy, texts(by))
		},
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
func build(ctx context.Context, s lake.Store, parents []lake.Parent, o Options) (m lake.CuratedSuccess, err error) {
	if len(parents) != 1 {
		return m, fmt.Errorf("a curated table has one raw manifest as parent, not %d", len(parents))
	}
	manifest, err := lake.ReadParent[lake.RawManifest](ctx, s, parents[0], lake.RawFormat)
	if err != nil {
		return m, err
	}
	t, err := newTable(ctx, s, &manifest, o)
	if err != nil {
		return m, err
	}
	w := &watch{cols: t.columns, disturb: o.disturb}
	if t.unsummed {
		w.files = sums{}
	}
	files, sum, err := curate(ctx, s, s, t, o.Limits, w)
	if err == nil {
		err = t.settle(w)
	}
	if err != nil {
		return m, err
	}
	if sum != manifest.Checksum {
		return m, blame(ctx, s, t, o, files, sum)
	}
	mode := manifest.Mode
	if mode == "" { // written by hand
		mode = fullMode
	}
	return lake.CuratedSuccess{
		Header: lake.Header{Format: lake.CuratedFormat, Dataset: manifest.Dataset, Run: manifest.Run, Parents: parents},
		Table:  manifest.Table, Mode: mode, Watermark: manifest.Watermark,
		Columns: t.columns, Key: manifest.Key, PartitionBy: texts(t.transforms()),
		Files: files, Rows: sum.Rows, Checksum: sum,
	}, nil
}

// fullMode is that of a manifest that does not say: its files are the whole table.
const fullMode = "full"

func (o Options) remedy() string {
	if o.Dataset == "" {
		return "name another column"
	}
	return fmt.Sprintf("correct partition_by in shared/dataset/%s.yaml", o.Dataset)
}

// transforms reads the partition columns for a table of these columns.
func (o Options) transforms(cols []schema.Column) ([]transform.Transform, error) {
	return transform.ParseAll(o.PartitionBy, func(name string) bool { return schema.Index(cols, name) >= 0 })
}

// texts are what markers say; nil for none.
func texts(by []transform.Transform) (all []string) {
	for _, t := range by {
		all = append(all, t.String())
	}
	return all
}
