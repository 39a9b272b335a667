package main

import (
	"context"
	"errors"
	"slices"

	"github.com/millrace/millrace/shared/lake"
)

// stage is one step of a batch, as its marker shows it.
type stage struct {
	Stage  string   `json:"stage"` // extract, partition, trainset, train
	Name   string   `json:"name"`  // table, dataset or model version
	Run    lake.Run `json:"run"`
	Done   bool     `json:"done"`
	Rows   int64    `json:"rows"`
	Detail string   `json:"detail,omitempty"`
	Marker string   `json:"marker"`
}

// batch reads how far a run has come. A stage whose marker belongs to another run is not done.
func (s *stack) batch(ctx context.Context, run lake.Run) ([]stage, error) {
	var stages []stage
	for _, table := range s.dataset.TableNames() {
		raw := stage{Stage: "extract", Name: table, Run: run, Marker: lake.RawMarker(table, run)}
		manifest, found, err := marker[lake.RawManifest](ctx, s.lake, raw.Marker, lake.RawFormat, run)
		if err != nil {
			return nil, err
		}
		if found {
			raw.Done, raw.Rows, raw.Detail = true, manifest.Rows, manifest.Snapshot.Kind+" snapshot"
		}
		stages = append(stages, raw)
	}
	for _, table := range s.dataset.TableNames() {
		curated := stage{Stage: "partition", Name: table, Run: run, Marker: lake.CuratedMarker(table, run)}
		success, found, err := marker[lake.CuratedSuccess](ctx, s.lake, curated.Marker, lake.CuratedFormat, run)
		if err != nil {
			return nil, err
		}
		if found {
			curated.Done, curated.Rows, curated.Detail = true, success.Rows, plural(len(success.Files), "file")
		}
		stages = append(stages, curated)
	}
	training := stage{Stage: "trainset", Name: s.dataset.Name, Run: run, Marker: lake.TrainingMarker(s.dataset.Name, run)}
	success, found, err := marker[lake.TrainingSuccess](ctx, s.lake, training.Marker, lake.TrainingFormat, run)
	if err != nil {
		return nil, err
	}
	trained := stage{Stage: "train", Name: "model", Run: run}
	if found {
		training.Done, training.Rows = true, success.Rows
		_, parent, err := lake.ReadMarker[lake.TrainingSuccess](ctx, s.lake, training.Marker, lake.TrainingFormat)
		if err != nil {
			return nil, err
		}
		trained.Name = lake.ModelVersion(run, parent)
		trained.Marker = lake.ModelMarker(trained.Name)
		manifest, found, err := marker[lake.ModelManifest](ctx, s.lake, trained.Marker, lake.ModelFormat, run)
		if err != nil {
			return nil, err
		}
		if found {
			trained.Done, trained.Rows, trained.Detail = true, manifest.Counts.Interactions, manifest.State+": "+manifest.Reason
		}
	}
	return append(stages, training, trained), nil
}

// marker reads a marker that may not be there yet; found is false also while it is another run's.
func marker[M lake.Marker](ctx context.Context, s lake.Store, key, format string, run lake.Run) (m M, found bool, err error) {
	m, _, err = lake.ReadMarker[M](ctx, s, key, format)
	if errors.Is(err, lake.ErrNotFound) {
		return m, false, nil
	}
	return m, err == nil && m.MarkerHeader().Run == run, err
}

// runs lists the runs that have landed anything, newest first.
func (s *stack) runs(ctx context.Context) ([]lake.Run, error) {
	seen := map[lake.Run]bool{}
	for _, table := range s.dataset.TableNames() {
		keys, err := s.lake.List(ctx, "raw/"+lake.Escape(table)+"/")
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if run, ok := lake.RunOf(key); ok {
				seen[run] = true
			}
		}
	}
	runs := make([]lake.Run, 0, len(seen))
	for run := range seen {
		runs = append(runs, run)
	}
	slices.Sort(runs)
	slices.Reverse(runs)
	return runs, nil
}
