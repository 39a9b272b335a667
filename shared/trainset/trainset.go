// Package trainset joins the curated tables of one run into the training set that the dataset
// file describes: in this process, or in Athena for tables that do not fit.
package trainset

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// Settings are how a training set is built, not what is in it.
type Settings struct {
	Limits Limits
	Engine Engine
	// Athena reads the lake's tables; nil where there is none, such as a directory.
	Athena *Athena
}

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
func Write(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run, settings Settings) (Result, error) {
	for attempt := 1; ; attempt++ {
		result, err := write(ctx, s, shop, run, settings)
		replaced := errors.Is(err, lake.ErrStale) || errors.Is(err, lake.ErrNotFound)
		if !replaced || attempt == attempts {
			if err != nil {
				err = fmt.Errorf("training set %s, run %s: %w", shop.Training.Table, run, err)
			}
			return result, err
		}
	}
}

func write(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run, settings Settings) (Result, error) {
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
			return build(ctx, s, shop, parents, settings)
		},
	})
	return Result{Marker: marker, Published: published}, err
}

// curated finds the markers of the run's tables, in the order of the dataset, each with those of the earlier days that it
// needs, and which tables are not there yet.
func curated(ctx context.Context, s lake.Store, shop *dataset.Dataset, run lake.Run) (parents []lake.Parent, waiting []string, err error) {
	for _, table := range shop.TrainingTables() {
		marker, self, err := lake.ReadMarker[lake.CuratedSuccess](ctx, s, lake.CuratedMarker(table, run), lake.CuratedFormat)
		switch {
		case errors.Is(err, lake.ErrNotFound), err == nil && marker.Run < run:
			waiting = append(waiting, table)
			continue
		case err != nil:
			return nil, nil, err
		case marker.Run > run:
			return nil, nil, fmt.Errorf("table %s: %w: %s", table, lake.ErrSuperseded, marker.Run)
		}
		chain, err := asof.Chain(ctx, s, marker, self)
		if err != nil {
			return nil, nil, err
		}
		parents = append(parents, chain...)
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
func build(ctx context.Context, s lake.Store, shop *dataset.Dataset, parents []lake.Parent, settings Settings) (lake.TrainingSuccess, error) {
	tables, err := asof.Read(ctx, s, parents)
	if err != nil {
		return lake.TrainingSuccess{}, err
	}
	plan, err := newPlan(shop, tables)
	if err != nil {
		return lake.TrainingSuccess{}, err
	}
	marker := lake.TrainingSuccess{
		Header: lake.Header{Format: lake.TrainingFormat, Dataset: shop.Name, Run: plan.base.Days[0].Run, Parents: parents},
		Table:  shop.Training.Table, Columns: plan.columns,
	}
	engine, reason, err := settings.choose(plan)
	if err != nil {
		return lake.TrainingSuccess{}, err
	}
	if engine == InProcess {
		err = joinInProcess(ctx, s, plan, settings.Limits, &marker)
		if outOfMemory(err) && settings.Engine == Auto && settings.usable(plan) == nil { // the estimate was too low
			engine, reason, marker.Files = InAthena, err.Error(), nil
		}
	}
	if engine == InAthena {
		err = settings.Athena.join(ctx, s, plan, settings.Limits, &marker)
	}
	marker.Engine, marker.EngineReason = string(engine), reason
	if err == nil {
		_, err = asof.Read(ctx, s, parents) // nobody replaced a table while it was being joined
	}
	return marker, err
}

// publishRows writes the rows into files of at most perFile rows each, and completes the marker.
func publishRows(ctx context.Context, s lake.Store, rows iter.Seq2[schema.Row, error], perFile int64, marker *lake.TrainingSuccess) error {
	next, stop := iter.Pull2(rows)
	defer stop()
	var sum checksum.Sum
	row, err, more := next()
	for more {
		file, err := parquetwriter.WriteVerified(ctx, s, lake.TrainingPart(marker.Dataset, marker.Run, len(marker.Files)), marker.Columns,
			func(yield func(schema.Row, error) bool) {
				for n := int64(0); n < perFile && more; n++ {
					if !yield(row, err) {
						return
					}
					row, err, more = next()
				}
			})
		if err != nil {
			return err
		}
		marker.Files, sum = append(marker.Files, file), sum.Plus(file.Checksum)
	}
	marker.Rows, marker.Checksum = sum.Rows, sum
	return nil
}

// InDataset says whether a table has a part in the training set: the marker of another one is
// nobody's signal to build it.
func InDataset(shop *dataset.Dataset, table string) bool {
	return slices.Contains(shop.TrainingTables(), table)
}
