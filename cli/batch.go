package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

// stage is one step of a batch, as its marker shows it.
type stage struct {
	Stage string   `json:"stage"` // extract, partition, trainset, train
	Name  string   `json:"name"`  // table, dataset or model version
	Run   lake.Run `json:"run"`
	Done  bool     `json:"done"`
	// Replaced names the newer run of the same day that is published instead.
	Replaced lake.Run `json:"replaced_by,omitempty"`
	Rows     int64    `json:"rows"`
	Detail   string   `json:"detail,omitempty"`
	Marker   string   `json:"marker"`

	mode string // of an extraction
}

// batch reads how far a run has come.
func (s *stack) batch(ctx context.Context, run lake.Run) ([]stage, error) {
	var stages []stage
	for _, table := range s.dataset.TableNames() {
		raw := stage{Stage: "extract", Name: table, Run: run, Marker: lake.RawMarker(table, run)}
		manifest, found, err := marker[lake.RawManifest](ctx, s.lake, raw.Marker, lake.RawFormat)
		if err != nil {
			return nil, err
		}
		if found {
			raw.Done, raw.Rows, raw.Detail, raw.mode = true, manifest.Rows, manifest.Snapshot.Kind+" snapshot", manifest.Mode
			if manifest.Mode == dataset.Incremental {
				raw.Detail = "incremental, " + raw.Detail
			}
		} else if err := s.landing(ctx, &raw); err != nil {
			return nil, err
		}
		stages = append(stages, raw)
	}
	for _, table := range s.dataset.TableNames() {
		curated := stage{Stage: "partition", Name: table, Run: run, Marker: lake.CuratedMarker(table, run)}
		success, found, err := marker[lake.CuratedSuccess](ctx, s.lake, curated.Marker, lake.CuratedFormat)
		if err != nil {
			return nil, err
		}
		if found && curated.is(success.Run) {
			curated.Rows, curated.Detail = success.Rows, plural(len(success.Files), "file")
		}
		stages = append(stages, curated)
	}
	training := stage{Stage: "trainset", Name: s.dataset.Name, Run: run, Marker: lake.TrainingMarker(s.dataset.Name, run)}
	trained := stage{Stage: "train", Name: "model", Run: run}
	success, found, err := marker[lake.TrainingSuccess](ctx, s.lake, training.Marker, lake.TrainingFormat)
	if err != nil {
		return nil, err
	}
	switch {
	case !found:
	case !training.is(success.Run):
		trained.Replaced = training.Replaced // the model that may be there has a name we cannot compute any more
	default:
		training.Rows = success.Rows
		if trained, err = s.trained(ctx, training); err != nil {
			return nil, err
		}
	}
	return append(stages, training, trained), nil
}

// landing fills in how far an extraction has come that is at work, or broke off.
func (s *stack) landing(ctx context.Context, raw *stage) error {
	checkpoint, _, err := lake.ReadCheckpoint(ctx, s.lake, raw.Name, raw.Run)
	if errors.Is(err, lake.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	var files int
	raw.Rows, files = checkpoint.Landed()
	raw.Detail = fmt.Sprintf("%s landed by %s", plural(files, "file"), plural(checkpoint.Continued+1, "invocation"))
	return nil
}

// trained is the training of a published training set.
func (s *stack) trained(ctx context.Context, training stage) (stage, error) {
	_, parent, err := lake.ReadMarker[lake.TrainingSuccess](ctx, s.lake, training.Marker, lake.TrainingFormat)
	if err != nil {
		return stage{}, err
	}
	version := lake.ModelVersion(training.Run, parent)
	st := stage{Stage: "train", Name: version, Run: training.Run, Marker: lake.ModelMarker(version)}
	manifest, found, err := marker[lake.ModelManifest](ctx, s.lake, st.Marker, lake.ModelFormat)
	if found {
		st.Done, st.Rows, st.Detail = true, manifest.Counts.Interactions, manifest.State+": "+manifest.Reason
	}
	return st, err
}

// is says whether the stage's marker is of its own run, and notes which newer run's it is.
func (st *stage) is(published lake.Run) bool {
	st.Done = published == st.Run
	if published > st.Run {
		st.Replaced = published
	}
	return st.Done
}

// marker reads a marker that may not be there yet.
func marker[M lake.Marker](ctx context.Context, s lake.Store, key, format string) (m M, found bool, err error) {
	m, _, err = lake.ReadMarker[M](ctx, s, key, format)
	if errors.Is(err, lake.ErrNotFound) {
		return m, false, nil
	}
	return m, err == nil, err
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
			} else if run, ok := lake.CheckpointRun(key); ok {
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
