// Package partition turns a raw run of a table into curated Parquet: split by the table's
// partition columns, sorted by its key, and published only if the values read back from the
// finished files have the checksum that the extraction recorded.
package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Options are what the manifest does not say.
type Options struct {
	// Dataset is the description the partition columns come from, for messages.
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

// errOvertaken says that a newer run was published while this one was writing: files of the
// newer run may have been overwritten, since a day's files have the same keys in every run.
var errOvertaken = errors.New("overtaken")

// Write curates the run that a raw manifest announces. A second call for the same manifest
// changes nothing. A newer run of the same day replaces an older one; for an older run that
// arrives late it returns lake.ErrSuperseded.
func Write(ctx context.Context, s lake.Store, manifestKey string, o Options) (Result, error) {
	result, err := write(ctx, s, manifestKey, o, false)
	if !errors.Is(err, errOvertaken) {
		return result, err
	}
	newer, _, healErr := lake.ReadMarker[lake.CuratedSuccess](ctx, s, lake.CuratedMarker(result.Marker.Table, result.Marker.Run), lake.CuratedFormat)
	if healErr == nil && len(newer.Parents) == 1 {
		_, healErr = write(ctx, s, newer.Parents[0].Key, o, true)
	}
	return result, errors.Join(err, healErr)
}

// attempts bounds how often files that another run's clean-up removed are written again.
const attempts = 3

// write publishes unless the run is there already and its files with it, or always if forced.
func write(ctx context.Context, s lake.Store, manifestKey string, o Options, force bool) (Result, error) {
	manifest, parent, err := lake.ReadMarker[lake.RawManifest](ctx, s, manifestKey, lake.RawFormat)
	if err != nil {
		return Result{}, err
	}
	fail := func(err error) (Result, error) {
		return Result{Marker: lake.CuratedSuccess{Header: manifest.Header, Table: manifest.Table}},
			fmt.Errorf("table %s, run %s: %w", manifest.Table, manifest.Run, err)
	}
	if manifest.Checksum != manifest.Source {
		return fail(fmt.Errorf("manifest %s: the database counted %s, but %s were written: extract the run again", manifestKey, manifest.Source, manifest.Checksum))
	}
	if err := check(&manifest, o); err != nil {
		return fail(err)
	}
	dir, key := lake.CuratedDir(manifest.Table, manifest.Run), lake.CuratedMarker(manifest.Table, manifest.Run)
	published := false
	for range attempts {
		current, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, s, key, lake.CuratedFormat)
		switch {
		case errors.Is(err, lake.ErrNotFound):
		case err != nil:
			return fail(err)
		case current.Run > manifest.Run:
			return fail(fmt.Errorf("%w: %s", lake.ErrSuperseded, current.Run))
		case !force && slices.Equal(current.Parents, []lake.Parent{parent}) && slices.Equal(current.PartitionBy, o.PartitionBy):
			if complete, err := tidy(ctx, s, dir, key, current.Files); err != nil {
				return fail(err)
			} else if complete {
				return Result{Marker: current, Published: published}, nil
			}
		}
		marker := lake.CuratedSuccess{
			Header: lake.Header{Format: lake.CuratedFormat, Dataset: manifest.Dataset, Run: manifest.Run, Parents: []lake.Parent{parent}},
			Table:  manifest.Table, Columns: manifest.Columns, Key: manifest.Key, PartitionBy: o.PartitionBy,
		}
		if marker.Files, marker.Checksum, err = split(ctx, s, &manifest, o); err != nil {
			return fail(err)
		}
		marker.Rows = marker.Checksum.Rows
		switch now, err := lake.Publish(ctx, s, key, marker); {
		case errors.Is(err, lake.ErrSuperseded):
			return fail(errors.Join(errOvertaken, err))
		case err != nil:
			return fail(err)
		default:
			published, force = published || now, false
		}
	}
	return fail(fmt.Errorf("other runs of the same day keep removing its files: run it again when they are finished"))
}

// check finds what the dataset or the manifest asks for and the table does not have.
func check(manifest *lake.RawManifest, o Options) error {
	if _, err := schema.Positions(manifest.Columns, manifest.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	for _, name := range o.PartitionBy {
		i := schema.Index(manifest.Columns, name)
		if i < 0 {
			return fmt.Errorf("there is no column %s.%s to partition by (there are: %v): correct partition_by in shared/dataset/%s.yaml",
				manifest.Table, name, schema.Names(manifest.Columns), o.Dataset)
		}
		if kind := manifest.Columns[i].Kind; kind == schema.Bytes || kind == schema.Vector {
			return fmt.Errorf("column %s.%s of kind %s cannot name a folder: correct partition_by in shared/dataset/%s.yaml",
				manifest.Table, name, kind, o.Dataset)
		}
	}
	return nil
}

// tidy removes what a replaced or broken-off run left behind, which Athena would read beside
// the published files, and tells whether all of these are there.
func tidy(ctx context.Context, s lake.Store, dir, markerKey string, files []lake.File) (complete bool, err error) {
	keys, err := s.List(ctx, dir)
	if err != nil {
		return false, err
	}
	missing := map[string]bool{}
	for _, f := range files {
		missing[f.Key] = true
	}
	for _, key := range keys {
		if missing[key] {
			delete(missing, key)
		} else if key != markerKey {
			if err := s.Delete(ctx, key); err != nil {
				return false, err
			}
		}
	}
	return len(missing) == 0, nil
}
