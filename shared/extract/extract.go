// Package extract lands one run of one MySQL table in the lake: Avro files of key-ordered
// chunks, each reconciled with the server in the same snapshot, then the manifest that
// publishes them. What it writes depends on the table's content alone: a retry, a second
// delivery, another number of connections or a continuation in a new invocation write the
// same keys, and the same bytes if the table has not changed.
package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// Request is what to extract.
type Request struct {
	Dataset  string // its name
	Table    string
	Settings dataset.Table
	Mode     string // dataset.Full or Incremental; "" is the settings' own
	Run      lake.Run
}

func (r Request) mode() string { return cmp.Or(r.Mode, r.Settings.Extract.Mode) }

// Progress is told after every chunk.
type Progress struct {
	Table         string
	Rows          int64
	EstimatedRows int64 // the server's estimate; Rows may exceed it
	Chunks        int
}

// Extractor lands tables of one server in one lake.
type Extractor struct {
	Server *mysqltable.Server
	Store  lake.Store
	Limits Limits
	// Ranges is how many connections read a large table at once, if the server can show that they see
	// the same moment. The objects do not depend on it.
	Ranges int
	// TimeLeft says how long this invocation may still extract; nil: as long as it takes. What is over
	// then is left to another invocation (Result.Unfinished).
	TimeLeft func() time.Duration
	Progress func(Progress)    // may be nil
	Notice   func(text string) // what an operator should know of this attempt; may be nil
}

// Result is what a run came to.
type Result struct {
	Key      string // of the manifest
	Manifest lake.RawManifest
	// Published is false if this run's manifest was there already.
	Published bool
	// Unfinished: the time ran out. Extract the run again, it goes on from its checkpoint.
	Unfinished bool
	// Landed counts the rows that have landed so far, Resumed those of them from earlier invocations.
	Landed, Resumed int64
}

var (
	// ErrDiffers says that the values written are not those the server has.
	ErrDiffers = errors.New("the values read differ from the server's checksum: nothing is published; " +
		"run it again, and if it differs again report the table's definition")
	// ErrOvertaken says that another invocation of the same run has taken over. It is no failure of the run.
	ErrOvertaken = errors.New("another invocation of the same run goes on with it: this one stops")
)

// Extract lands one run of a table.
func (e *Extractor) Extract(ctx context.Context, r Request) (Result, error) {
	result := Result{Key: lake.RawMarker(r.Table, r.Run)}
	existing, _, err := lake.ReadMarker[lake.RawManifest](ctx, e.Store, result.Key, lake.RawFormat)
	if err == nil {
		result.Manifest = existing
		return result, errors.Join(r.check(existing), e.tidy(ctx, r))
	} else if !errors.Is(err, lake.ErrNotFound) {
		return result, err
	}
	if err := e.land(ctx, r, &result); err != nil {
		return result, fmt.Errorf("extract %s, run %s: %w", r.Table, r.Run, err)
	}
	return result, nil
}

// check refuses a published run that is not what was asked for.
func (r Request) check(m lake.RawManifest) error {
	if r.Mode == dataset.Full && m.Mode != dataset.Full {
		return fmt.Errorf("table %s: run %s is published already, in mode %s: a full one needs a run of its own, so name another scheduled time", r.Table, r.Run, m.Mode)
	}
	return nil
}

func (e *Extractor) land(ctx context.Context, r Request, result *Result) (err error) {
	snapshots, err := e.Server.Snapshots(ctx, max(1, e.Ranges))
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range snapshots {
			err = errors.Join(err, s.Close())
		}
	}()
	l := &landing{Extractor: e, request: r, snapshot: snapshots[0]}
	for _, s := range snapshots {
		table, err := s.Table(ctx, r.Table, mysqltable.Options{
			ZeroDates:   mysqltable.ZeroDates(r.Settings.Extract.ZeroDates),
			InvalidText: mysqltable.InvalidText(r.Settings.Extract.InvalidText),
		})
		if err != nil {
			return err
		}
		l.tables = append(l.tables, table)
	}
	if _, err := schema.Positions(l.tables[0].Columns, r.Settings.Key); err != nil {
		return fmt.Errorf("table %s: the key in the dataset: %w", r.Table, err)
	}
	for i, column := range r.Settings.Key {
		if slices.Contains(r.Settings.Key[:i], column) {
			return fmt.Errorf("table %s: the key in the dataset: it names column %s twice: name it once", r.Table, column)
		}
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	result.Resumed, _ = l.state.Landed()
	finished, err := l.writeSections(ctx)
	if err != nil {
		return err
	}
	if !finished {
		result.Unfinished = true
		result.Landed, _ = l.state.Landed()
		return l.handOver(ctx, result.Resumed)
	}
	result.Manifest, result.Published, err = lake.PublishOnce(ctx, e.Store, result.Key, lake.RawFormat, l.manifest())
	if err != nil {
		return err
	}
	result.Landed = result.Manifest.Rows
	if l.etag != "" {
		return e.tidy(ctx, r)
	}
	return nil
}

// tidy removes the checkpoint of a published run.
func (e *Extractor) tidy(ctx context.Context, r Request) error {
	key := lake.RawCheckpointKey(r.Table, r.Run)
	body, _, err := e.Store.Get(ctx, key)
	if errors.Is(err, lake.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	return errors.Join(body.Close(), e.Store.Delete(ctx, key))
}

func (e *Extractor) notice(format string, args ...any) {
	if e.Notice != nil {
		e.Notice(fmt.Sprintf(format, args...))
	}
}
