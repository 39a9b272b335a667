package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/partition"
)

const night lake.Run = "20261122T020000Z"

type bundle struct {
	partitioner *partitioner
	store       lake.Store
	catalog     *registered
	metrics     *bytes.Buffer
}

// registered notes what reaches the catalog.
type registered struct {
	tables []catalog.Table
	err    error
}

func (r *registered) Register(_ context.Context, t catalog.Table) error {
	r.tables = append(r.tables, t)
	return r.err
}

// setup lands the shop's tables.
func setup(t *testing.T) bundle {
	t.Helper()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	b := bundle{store: lake.NewDirectory(t.TempDir()), catalog: &registered{}, metrics: &bytes.Buffer{}}
	for _, table := range laketest.Shop() {
		laketest.Land(t, b.store, table, night)
	}
	b.partitioner = &partitioner{
		store: b.store, bucket: "millrace-lake", dataset: shop, catalog: b.catalog, database: "shop",
		limits: partition.DefaultLimits(), metrics: metrics.New(b.metrics, time.Now), now: time.Now,
	}
	return b
}

func event(t *testing.T, name string) (e events.EventBridgeEvent) {
	t.Helper()
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &e))
	return e
}

func TestManifestBecomesCuratedParquetAndACatalogTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.partitioner.Handle(t.Context(), event(t, "partitioner-products-manifest.json")))
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), b.store, lake.CuratedMarker("products", night), lake.CuratedFormat)
	require.NoError(t, err)
	products := laketest.Shop()["products"]
	require.Equal(t, laketest.Sum(products.Columns, products.Rows), m.Checksum)
	require.Equal(t, []string{"productLine"}, m.PartitionBy)
	require.Equal(t, "classicmodels", m.Dataset)
	require.Len(t, m.Files, 3)
	require.Equal(t, []catalog.Table{{
		Database: "shop", Name: "products", Description: "Table products as extracted each day",
		Location: "s3://millrace-lake/curated/products/", Columns: products.Columns, Day: "2026-11-22",
	}}, b.catalog.tables)
	require.Contains(t, b.metrics.String(), `"RowsPartitioned":4`)
}

func TestSecondDeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	manifest := event(t, "partitioner-ratings-manifest.json")
	require.NoError(t, b.partitioner.Handle(t.Context(), manifest))
	before := laketest.Objects(t, b.store)
	b.metrics.Reset()
	require.NoError(t, b.partitioner.Handle(t.Context(), manifest))
	require.Equal(t, before, laketest.Objects(t, b.store))
	require.Zero(t, b.metrics.Len(), "nothing was written, nothing is counted")
}

func TestRetryAfterTheCatalogFailedRegistersTheTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.catalog.err = errors.New("throttled")
	manifest := event(t, "partitioner-ratings-manifest.json")
	require.ErrorContains(t, b.partitioner.Handle(t.Context(), manifest), "throttled")
	b.catalog.err, b.catalog.tables = nil, nil
	require.NoError(t, b.partitioner.Handle(t.Context(), manifest))
	require.Len(t, b.catalog.tables, 1)
}

func TestAManifestWrittenByHandIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := lake.RawMarker("ratings", night)
	landed, _, err := lake.ReadMarker[lake.RawManifest](t.Context(), b.store, key, lake.RawFormat)
	require.NoError(t, err)
	byHand := map[string]any{"format": lake.RawFormat, "dataset": "classicmodels", "run": night, "table": "ratings", "key": landed.Key}
	var files []map[string]string
	for _, f := range landed.Files {
		files = append(files, map[string]string{"key": f.Key})
	}
	byHand["files"] = files
	text, err := json.Marshal(byHand)
	require.NoError(t, err)
	require.NoError(t, b.store.Put(t.Context(), key, bytes.NewReader(text)))
	require.NoError(t, b.partitioner.Handle(t.Context(), event(t, "partitioner-ratings-manifest.json")))
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), b.store, lake.CuratedMarker("ratings", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.Equal(t, landed.Checksum, m.Checksum)
	require.Equal(t, landed.Columns, b.catalog.tables[0].Columns)
}

func TestOlderRunThatArrivesLateIsNoError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	newer := laketest.Land(t, b.store, laketest.Shop()["ratings"], "20261122T200000Z")
	_, err := partition.Write(t.Context(), b.store, newer, partition.Options{Limits: partition.DefaultLimits()})
	require.NoError(t, err)
	before := laketest.Objects(t, b.store)
	require.NoError(t, b.partitioner.Handle(t.Context(), event(t, "partitioner-ratings-manifest.json")))
	require.Equal(t, before, laketest.Objects(t, b.store))
	require.Empty(t, b.catalog.tables)
}

func TestBadEventsAndInputsPublishNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event  string
		damage func(t *testing.T, b bundle)
		want   string
	}{
		"not a marker":   {"partitioner-not-a-marker.json", nil, "not a marker of the lake"},
		"foreign path":   {"partitioner-foreign-path.json", nil, "not a marker of the lake"},
		"another bucket": {"partitioner-other-bucket.json", nil, `event for bucket "somebody-elses-bucket"`},
		"another event":  {"partitioner-object-deleted.json", nil, `event "Object Deleted"`},
		"no such object": {"partitioner-unknown-table.json", nil, "no such object"},
		"a table that the dataset does not know": {"partitioner-unknown-table.json", func(t *testing.T, b bundle) {
			invoices := laketest.Shop()["ratings"]
			invoices.Name = "invoices"
			laketest.Land(t, b.store, invoices, night)
		}, `dataset classicmodels has no table "invoices"`},
		"another dataset": {"partitioner-ratings-manifest.json", func(_ *testing.T, b bundle) {
			b.partitioner.dataset.Name = "another"
		}, `is of dataset "classicmodels", this function's is "another"`},
		"rows that differ from the manifest's": {"partitioner-ratings-manifest.json", func(t *testing.T, b bundle) {
			other := laketest.Shop()["ratings"]
			other.Rows[0][2].Int++
			elsewhere := lake.NewDirectory(t.TempDir())
			laketest.Land(t, elsewhere, other, night)
			part := lake.RawPart("ratings", night, 0)
			require.NoError(t, b.store.Put(t.Context(), part, bytes.NewReader([]byte(laketest.Objects(t, elsewhere)[part]))))
		}, "table ratings"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if c.damage != nil {
				c.damage(t, b)
			}
			require.ErrorContains(t, b.partitioner.Handle(t.Context(), event(t, c.event)), c.want)
			markers := laketest.Objects(t, b.store)
			maps.DeleteFunc(markers, func(key, _ string) bool {
				layer, err := lake.Layer(key)
				return err != nil || layer != "curated"
			})
			require.Empty(t, markers)
			require.Empty(t, b.catalog.tables)
		})
	}
}
