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
	// connect is called per event: a password rotated since the last one is the new one.
	connect func(context.Context) (*mysqltable.Server, error)
	metrics *metrics.Emitter
	now     func() time.Time
}

// request is the scheduler's event. The scheduled time, not the wall clock, names the run, so
// that a retry or a second delivery is the same run.
type request struct {
	Table         string `json:"table"`
	ScheduledTime string `json:"scheduled_time"`
}

// response is for whoever invokes the function by hand.
type response struct {
	Manifest  string `json:"manifest"` // its key
	Published bool   `json:"published"`
	Rows      int64  `json:"rows"`
	Files     int    `json:"files"`
	Snapshot  string `json:"snapshot"`
}

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
	result, err := (&extract.Extractor{
		Server: server, Store: e.store, Limits: extract.DefaultLimits,
		Progress: func(p extract.Progress) {
			log.InfoContext(ctx, "chunk reconciled", "rows", p.Rows, "estimatedRows", p.EstimatedRows, "chunks", p.Chunks)
		},
	}).Extract(ctx, r)
	if err != nil {
		return response{}, err
	}
	m := result.Manifest
	out := response{result.Key, result.Published, m.Rows, len(m.Files), m.Snapshot.Kind}
	if !result.Published {
		log.InfoContext(ctx, "run is already published: nothing to do", "manifest", out.Manifest)
		return out, nil
	}
	took := e.now().Sub(started)
	log.InfoContext(ctx, "run published", "manifest", out.Manifest, "rows", m.Rows, "files", len(m.Files),
		"snapshot", m.Snapshot.Kind, "checksum", m.Checksum.String(), "zeroDates", m.ZeroDates, "seconds", took.Seconds())
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
	if err := errors.Join(errTable, errRun); err != nil {
		return extract.Request{}, fmt.Errorf("event of the extractor (events/extractor-ratings.json shows one): %w", err)
	}
	return extract.Request{Dataset: e.dataset.Name, Table: event.Table, Settings: table, Run: run}, nil
}

func (e *extractor) emit(m lake.RawManifest, took time.Duration) {
	var size, zeroDates int64
	for _, f := range m.Files {
		size += f.Size
	}
	for _, n := range m.ZeroDates {
		zeroDates += n
	}
	e.metrics.Emit(map[string]string{"Table": m.Table},
		metrics.Metric{Name: "RowsExtracted", Unit: metrics.Count, Value: float64(m.Rows)},
		metrics.Metric{Name: "BytesExtracted", Unit: metrics.Bytes, Value: float64(size)},
		metrics.Metric{Name: "ZeroDates", Unit: metrics.Count, Value: float64(zeroDates)},
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
