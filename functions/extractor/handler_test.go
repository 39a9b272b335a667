package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
	"github.com/millrace/millrace/shared/secret"
)

// mariadb is nil if MariaDB is not installed: the tests that need it are skipped.
var mariadb *mariadbtest.Server

func TestMain(m *testing.M) { mariadbtest.Main(m, &mariadb) }

var errNotReached = errors.New("the database must not be reached")

// setup makes the function around a directory; it counts connections, and can make none.
func setup(t *testing.T) (e *extractor, connections *int, metricLines *bytes.Buffer) {
	t.Helper()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	connections, metricLines = new(int), new(bytes.Buffer)
	clock := func() time.Time { return time.Unix(1_800_000_000, 0) }
	return &extractor{
		store: lake.NewDirectory(t.TempDir()), dataset: shop, limits: extract.DefaultLimits, metrics: metrics.New(metricLines, clock), now: clock,
		connect: func(context.Context) (*mysqltable.Server, error) { *connections++; return nil, errNotReached },
	}, connections, metricLines
}

// event reads what `make invoke-extractor` sends.
func event(t *testing.T, file string) (r request) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../events", file))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	return r
}

func TestEveryTableOfTheDatasetHasAnEventThatIsExtractedOnce(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	e, connections, metricLines := setup(t)
	e.connect = func(context.Context) (*mysqltable.Server, error) {
		*connections++
		return mysqltable.Open(db.Config())
	}
	for _, table := range e.dataset.TableNames() {
		var columns []string
		for _, c := range e.dataset.Tables[table].Key {
			columns = append(columns, c+" VARCHAR(15)")
		}
		key := strings.Join(e.dataset.Tables[table].Key, ", ")
		db.Exec(t, fmt.Sprintf("CREATE TABLE %s (%s, city VARCHAR(20), PRIMARY KEY (%s))", table, strings.Join(columns, ", "), key))
		db.Exec(t, fmt.Sprintf("INSERT INTO %s (%s, city) SELECT %s, 'São Paulo' FROM seq_1_to_50", table, key, strings.TrimSuffix(strings.Repeat("seq, ", len(columns)), ", ")))

		r := event(t, "extractor-"+table+".json")
		first, err := e.Handle(context.Background(), r)
		require.NoError(t, err)
		require.Equal(t, response{Manifest: lake.RawMarker(table, "20261122T020000Z"), Published: true, Rows: 50, Files: 1, Snapshot: lake.Consistent}, first)
		m, _, err := lake.ReadMarker[lake.RawManifest](context.Background(), e.store, first.Manifest, lake.RawFormat)
		require.NoError(t, err)
		require.Equal(t, "classicmodels", m.Dataset)
		require.Equal(t, e.dataset.Tables[table].Key, m.Key)
		require.Contains(t, metricLines.String(), `"RowsExtracted":50`)

		metricLines.Reset()
		again, err := e.Handle(context.Background(), r)
		require.NoError(t, err)
		require.Equal(t, response{Manifest: first.Manifest, Rows: 50, Files: 1, Snapshot: lake.Consistent}, again)
		require.Empty(t, metricLines.String(), "a run counts once")
	}
}

func TestBadEventsFailBeforeTheDatabaseIsReached(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"extractor-unknown-table.json": {`no table "payments"`, "customers, orderdetails, orders, products, ratings"},
		"extractor-bad-time.json":      {"scheduled_time", `"yesterday"`, "2026-11-22T02:00:00Z"},
		"extractor-missing-table.json": {"table is missing"},
		"extractor-missing-time.json":  {"scheduled_time", `""`},
		"extractor-unknown-mode.json":  {`mode "incremental"`, "want full"},
	} {
		e, connections, _ := setup(t)
		_, err := e.Handle(context.Background(), event(t, file))
		for _, part := range append(want, "events/extractor-ratings.json") {
			require.ErrorContains(t, err, part, file)
		}
		require.Zero(t, *connections, file)
	}
	e, _, _ := setup(t)
	_, err := e.Handle(context.Background(), request{})
	require.ErrorContains(t, err, "table is missing")
	require.ErrorContains(t, err, "scheduled_time", "all problems at once")
	_, err = e.Handle(context.Background(), request{Table: "ratings", ScheduledTime: "9999-12-31T02:00:00Z"})
	require.ErrorContains(t, err, "in the future")
}

func TestUnreachableDatabasePublishesNothing(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	host, port, err := net.SplitHostPort(closed.Addr().String())
	require.NoError(t, err)
	e, _, metricLines := setup(t)
	e.connect = func(context.Context) (*mysqltable.Server, error) {
		return mysqltable.Open(mysqlConfig(secret.Database{Host: host, Port: json.Number(port), Username: "u", Password: "hunter2", Name: "shop"}))
	}
	_, err = e.Handle(context.Background(), event(t, "extractor-ratings.json"))
	require.ErrorContains(t, err, closed.Addr().String()+" cannot be reached")
	require.ErrorContains(t, err, "extract ratings, run 20261122T020000Z")
	require.NotContains(t, err.Error(), "hunter2")
	keys, err := e.store.List(context.Background(), "")
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Empty(t, metricLines.String())
}
