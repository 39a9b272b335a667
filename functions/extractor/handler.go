package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/secret"
)

// extractor lands one table of the dataset per event.
type extractor struct {
	store   lake.Store
	dataset *dataset.Dataset
	limits  extract.Limits
	// connect is called per event: a password rotated since the last one is the new one.
	connect func(context.Context) (*mysqltable.Server, error)
	// invoke starts another invocation of this function; it does not wait for it.
	invoke  func(context.Context, request) error
	metrics *metrics.Emitter
	now     func() time.Time
}

// request is the scheduler's event. The scheduled time, not the wall clock, names the run, so
// that a retry or a second delivery is the same run.
type request struct {
	Table         string `json:"table"`
	ScheduledTime string `json:"scheduled_time"`
	Mode          string `json:"mode,omitempty"` // full: read an incremental table whole this once
	// Continuation counts the invocations that ran out of time before this one. It is for people: what
	// to go on from is in the run's checkpoint.
	Continuation int `json:"continuation,omitempty"`
}

// response is for whoever invokes the function by hand.
type response struct {
	Manifest  string `json:"manifest"` // its key
	Published bool   `json:"published"`
	Rows      int64  `json:"rows"`
	Files     int    `json:"files"`
	Snapshot  string `json:"snapshot"`
	Continues bool   `json:"continues,omitempty"` // in another invocation: nothing is published yet
}

// handOverTime is kept for what follows extraction: writing the checkpoint and invoking the function,
// two requests that the SDK tries three times with pauses of up to 20 s in all.
const handOverTime = 30 * time.Second

// connectionsPerTable: two read as fast as one processor can encode.
const connectionsPerTable = 2

// Handle extracts the table that the event names.
func (e *extractor) Handle(ctx context.Context, event request) (response, error) {
	r, err := e.check(event)
	if err != nil {
		return response{}, err
	}
	log := slog.With("table", r.Table, "run", string(r.Run))
	server, err := e.connect(ctx)
	if err != nil {
		return response{}, err
	}
	defer func() {
		if err := server.Close(); err != nil {
			log.WarnContext(ctx, "connection did not close cleanly", "error", err)
		}
	}()
	started := e.now()
	var timeLeft func() time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		timeLeft = func() time.Duration { return deadline.Sub(e.now()) - handOverTime }
	}
	result, err := (&extract.Extractor{
		Server: server, Store: e.store, Limits: e.limits, Ranges: connectionsPerTable, TimeLeft: timeLeft,
		Notice: func(text string) { log.InfoContext(ctx, text) },
		Progress: func(p extract.Progress) {
			log.InfoContext(ctx, "chunk reconciled", "rows", p.Rows, "estimatedRows", p.EstimatedRows, "chunks", p.Chunks)
		},
	}).Extract(ctx, r)
	if errors.Is(err, extract.ErrOvertaken) {
		log.InfoContext(ctx, err.Error())
		return response{Manifest: result.Key, Continues: true}, nil
	} else if err != nil {
		return response{}, err
	}
	if result.Unfinished {
		event.Continuation++
		log.InfoContext(ctx, "the time is over: another invocation goes on", "rows", result.Landed, "continuation", event.Continuation)
		return response{Manifest: result.Key, Rows: result.Landed, Continues: true}, e.invoke(ctx, event)
	}
	m := result.Manifest
	out := response{Manifest: result.Key, Published: result.Published, Rows: m.Rows, Files: len(m.Files), Snapshot: m.Snapshot.Kind}
	if !result.Published {
		log.InfoContext(ctx, "run is already published: nothing to do", "manifest", out.Manifest)
		return out, nil
	}
	took := e.now().Sub(started)
	log.InfoContext(ctx, "run published", "manifest", out.Manifest, "rows", m.Rows, "files", len(m.Files),
		"snapshot", m.Snapshot.Kind, "checksum", m.Checksum.String(), "zeroDates", m.ZeroDates, "invalidText", m.InvalidText, "drift", m.Drift, "mode", m.Mode, "seconds", took.Seconds())
	e.emit(m, took)
	return out, nil
}

// clockSkew is how far the scheduler's clock and this one may differ.
const clockSkew = time.Hour

// check turns an event into a request, or says everything that is wrong with it.
func (e *extractor) check(event request) (extract.Request, error) {
	table, errTable := e.dataset.Table(event.Table)
	if event.Table == "" {
		errTable = errors.New("table is missing")
	}
	run, errRun := lake.ParseRun(event.ScheduledTime)
	if errRun != nil {
		errRun = fmt.Errorf("scheduled_time: %w", errRun)
	} else if now := e.now(); run.Time().After(now.Add(clockSkew)) {
		errRun = fmt.Errorf("scheduled_time: run %s is in the future (it is %s): it would stand before every later night's", run, now.UTC().Format(time.RFC3339))
	}
	var errMode error
	if event.Mode != "" && event.Mode != dataset.Full {
		errMode = fmt.Errorf("mode %q: want %s, or leave it out: the dataset says which tables are incremental", event.Mode, dataset.Full)
	}
	if err := errors.Join(errTable, errRun, errMode); err != nil {
		return extract.Request{}, fmt.Errorf("event of the extractor (events/extractor-ratings.json shows one): %w", err)
	}
	return extract.Request{Dataset: e.dataset.Name, Table: event.Table, Settings: table, Mode: event.Mode, Run: run}, nil
}

func (e *extractor) emit(m lake.RawManifest, took time.Duration) {
	var size, zeroDates, invalidText int64
	for _, f := range m.Files {
		size += f.Size
	}
	for _, n := range m.ZeroDates {
		zeroDates += n
	}
	for _, n := range m.InvalidText {
		invalidText += n
	}
	e.metrics.Emit(map[string]string{"Table": m.Table},
		metrics.Metric{Name: "RowsExtracted", Unit: metrics.Count, Value: float64(m.Rows)},
		metrics.Metric{Name: "BytesExtracted", Unit: metrics.Bytes, Value: float64(size)},
		metrics.Metric{Name: "ZeroDates", Unit: metrics.Count, Value: float64(zeroDates)},
		metrics.Metric{Name: "InvalidText", Unit: metrics.Count, Value: float64(invalidText)},
		metrics.Metric{Name: "ExtractSeconds", Unit: metrics.Seconds, Value: took.Seconds()},
	)
}

// mysqlConfig is how to connect with what the secret says.
func mysqlConfig(d secret.Database) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", d.Address()
	cfg.User, cfg.Passwd, cfg.DBName = d.Username, d.Password, d.Name
	if cfg.TLSConfig = d.TLS; cfg.TLSConfig == "" {
		cfg.TLSConfig = "preferred" // encrypted where the server can
	}
	return cfg
}
