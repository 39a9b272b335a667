// Package trainset joins the curated tables of one run into the training set that the dataset
// file describes: the base table streams through, the tables it looks up are held in memory.
package trainset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Limits bound what one run holds in memory.
type Limits struct {
	// Lookup is for the tables joined to the base, in bytes of the columns used.
	Lookup int
	// File is how many rows one file of the training set gets.
	File int64
}

// DefaultLimits fit a function of 1,769 MB. Two million rows of the default training set are
// about 30 MiB of Parquet, which is read back whole.
func DefaultLimits() Limits { return Limits{Lookup: 768 << 20, File: 2_000_000} }

// Result is a publication, or what it waits for.
type Result struct {
	Marker lake.TrainingSuccess
	// Published is false if this very training set was there already, or has to wait.
	Published bool
	// Waiting names the tables of the run that are not curated yet; with any, nothing was written.
	Waiting []string
}

// attempts bounds how often a build starts again because a table was replaced meanwhile.
const attempts = 3

// Write builds the training set of a run once all its tables are curated. For a run of which a
// table was already replaced by a newer one it returns lake.ErrSuperseded: the newer run brings
// its own.
func Write(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run, limits Limits) (Result, error) {
	for attempt := 1; ; attempt++ {
		result, err := write(ctx, s, shop, run, limits)
		replaced := errors.Is(err, lake.ErrStale) || errors.Is(err, lake.ErrNotFound)
		if !replaced || attempt == attempts {
			if err != nil {
				err = fmt.Errorf("training set %s, run %s: %w", shop.Training.Table, run, err)
			}
			return result, err
		}
	}
}

func write(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run, limits Limits) (Result, error) {
	parents, waiting, err := curated(ctx, s, shop, run)
	if err != nil || waiting != nil {
		return Result{Waiting: waiting}, err
	}
	marker, published, err := lake.Replace(ctx, s, lake.Replacement[lake.TrainingSuccess]{
		Dir: lake.TrainingDir(shop.Name, run), Key: lake.TrainingMarker(shop.Name, run), Format: lake.TrainingFormat,
		Run: run, Parents: parents,
		Same: func(m lake.TrainingSuccess) bool {
			return m.Table == shop.Training.Table && slices.Equal(schema.Names(m.Columns), outputNames(shop))
		},
		Files: func(m lake.TrainingSuccess) []lake.File { return m.Files },
		Build: func(ctx context.Context, parents []lake.Parent) (lake.TrainingSuccess, error) {
			return build(ctx, s, shop, parents, limits)
		},
	})
	return Result{Marker: marker, Published: published}, err
}

// curated finds the markers of the run's tables, in the order of the dataset, and which of them
// are not there yet.
func curated(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run) (parents []lake.Parent, waiting []string, err error) {
	for _, table := range shop.TrainingTables() {
		marker, parent, err := lake.ReadMarker[lake.CuratedSuccess](ctx, s, lake.CuratedMarker(table, run), lake.CuratedFormat)
		switch {
		case errors.Is(err, lake.ErrNotFound), err == nil && marker.Run < run:
			waiting = append(waiting, table)
		case err != nil:
			return nil, nil, err
		case marker.Run > run:
			return nil, nil, fmt.Errorf("table %s: %w: %s", table, lake.ErrSuperseded, marker.Run)
		}
		parents = append(parents, parent)
	}
	return parents, waiting, nil
}

func outputNames(shop *dataset.Dataset) []string {
	var names []string
	for _, qualified := range shop.Training.Columns {
		_, column := dataset.Column(qualified)
		names = append(names, column)
	}
	return names
}

// build writes the files of the training set made from these curated tables.
func build(ctx context.Context, s lake.Store, shop *dataset.Dataset, parents []lake.Parent, limits Limits) (lake.TrainingSuccess, error) {
	tables := map[string]*lake.CuratedSuccess{}
	var run lake.Run
	read := func() error {
		for _, p := range parents {
			marker, err := lake.ReadParent[lake.CuratedSuccess](ctx, s, p, lake.CuratedFormat)
			if err != nil {
				return err
			}
			tables[marker.Table], run = &marker, marker.Run
		}
		return nil
	}
	if err := read(); err != nil {
		return lake.TrainingSuccess{}, err
	}
	plan, err := newPlan(shop, tables)
	if err != nil {
		return lake.TrainingSuccess{}, err
	}
	join, err := newJoin(ctx, s, plan, limits)
	if err != nil {
		return lake.TrainingSuccess{}, err
	}
	files, sum, err := join.write(ctx, s, shop.Name, run, limits)
	if err == nil {
		err = read() // nobody replaced a table while it was being joined
	}
	return lake.TrainingSuccess{
		Header: lake.Header{Format: lake.TrainingFormat, Dataset: shop.Name, Run: run, Parents: parents},
		Table:  shop.Training.Table, Columns: plan.columns, Files: files, Rows: sum.Rows, Checksum: sum,
		Orphans: join.orphans(),
	}, err
}

// InDataset says whether a table has a part in the training set: the marker of another one is
// nobody's signal to build it.
func InDataset(shop *dataset.Dataset, table string) bool {
	return slices.Contains(shop.TrainingTables(), table)
}
