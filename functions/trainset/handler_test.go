package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/millrace/millrace/shared/trainset"
)

const night lake.Run = "20261122T020000Z"

type bundle struct {
	joiner  *joiner
	store   lake.Store
	catalog *registered
	metrics *bytes.Buffer
}

// registered notes what reaches the catalog.
type registered struct{ tables []catalog.Table }

func (r *registered) Register(_ context.Context, t catalog.Table) error {
	r.tables = append(r.tables, t)
	return nil
}

func setup(t *testing.T, curated ...string) bundle {
	t.Helper()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	b := bundle{store: lake.NewDirectory(t.TempDir()), catalog: &registered{}, metrics: &bytes.Buffer{}}
	b.joiner = &joiner{
		store: b.store, bucket: "millrace-lake", dataset: shop, catalog: b.catalog, database: "shop",
		settings: trainset.Settings{Engine: trainset.Auto, Limits: trainset.LimitsOf(1769, timeout)}, metrics: metrics.New(b.metrics, time.Now), now: time.Now,
	}
	for _, name := range curated {
		b.curate(t, name, night)
	}
	return b
}

func (b bundle) curate(t *testing.T, name string, run lake.Run) {
	t.Helper()
	table, ok := laketest.Shop()[name]
	if !ok {
		table = laketest.Shop()["ratings"]
		table.Name = name
	}
	_, err := partition.Write(t.Context(), b.store, laketest.Land(t, b.store, table, run), partition.Options{Limits: partition.DefaultLimits()})
	require.NoError(t, err)
}

func event(t *testing.T, name string) (e events.EventBridgeEvent) {
	t.Helper()
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &e))
	return e
}

func TestTheLastTableOfARunBringsTheTrainingSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, table := range []string{"ratings", "customers"} {
		b.curate(t, table, night)
		require.NoError(t, b.joiner.Handle(t.Context(), event(t, "trainset-"+table+"-success.json")))
		_, _, err := b.store.Get(t.Context(), lake.TrainingMarker("classicmodels", night))
		require.ErrorIs(t, err, lake.ErrNotFound)
	}
	b.curate(t, "products", night)
	require.NoError(t, b.joiner.Handle(t.Context(), event(t, "trainset-products-success.json")))
	m, _, err := lake.ReadMarker[lake.TrainingSuccess](t.Context(), b.store, lake.TrainingMarker("classicmodels", night), lake.TrainingFormat)
	require.NoError(t, err)
	require.EqualValues(t, 4, m.Rows)
	require.Equal(t, []catalog.Table{{
		Database: "shop", Name: "ratings_ml_training", Description: "Training set of dataset classicmodels, each day",
		Location: "s3://millrace-lake/training/classicmodels/", Columns: m.Columns, Day: "2026-11-22",
	}}, b.catalog.tables)
	require.Contains(t, b.metrics.String(), `"TrainingRows":4`)
	require.Contains(t, b.metrics.String(), `"OrphanedRows":5`)

	before := laketest.Objects(t, b.store)
	b.metrics.Reset()
	require.NoError(t, b.joiner.Handle(t.Context(), event(t, "trainset-products-success.json")))
	require.Equal(t, before, laketest.Objects(t, b.store))
	require.Zero(t, b.metrics.Len(), "nothing was written, nothing is counted")
}

func TestATableWithoutAPartInTheTrainingSetIsNoSignal(t *testing.T) {
	t.Parallel()
	b := setup(t, "ratings", "customers", "products", "orders")
	require.NoError(t, b.joiner.Handle(t.Context(), event(t, "trainset-orders-success.json")))
	_, _, err := b.store.Get(t.Context(), lake.TrainingMarker("classicmodels", night))
	require.ErrorIs(t, err, lake.ErrNotFound)
}

func TestANewerRunOfATableIsNoError(t *testing.T) {
	t.Parallel()
	b := setup(t, "ratings", "customers", "products")
	b.curate(t, "customers", "20261122T200000Z")
	require.NoError(t, b.joiner.Handle(t.Context(), event(t, "trainset-ratings-success.json")))
	require.Empty(t, b.catalog.tables)
}

func TestBadEventsAndInputsPublishNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event  string
		damage func(t *testing.T, b bundle)
		want   string
	}{
		"not a marker":   {"trainset-not-a-marker.json", nil, "not a marker of the lake"},
		"another layer":  {"trainset-other-layer.json", nil, "is in raw/, want curated/"},
		"another bucket": {"trainset-other-bucket.json", nil, `event for bucket "somebody-elses-bucket"`},
		"no such object": {"trainset-orders-success.json", nil, "no such object"},
		"another dataset": {"trainset-ratings-success.json", func(_ *testing.T, b bundle) {
			b.joiner.dataset.Name = "another"
		}, `is of dataset "classicmodels", this function's is "another"`},
		"a column that is not there": {"trainset-ratings-success.json", func(_ *testing.T, b bundle) {
			b.joiner.dataset.Training.Columns[1] = "customers.phone"
		}, "no column customers.phone"},
		"too little memory": {"trainset-ratings-success.json", func(_ *testing.T, b bundle) {
			b.joiner.settings.Limits.Memory = 1
		}, "Raise the function's memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "ratings", "customers", "products")
			if c.damage != nil {
				c.damage(t, b)
			}
			require.ErrorContains(t, b.joiner.Handle(t.Context(), event(t, c.event)), c.want)
			keys, err := b.store.List(t.Context(), "training/")
			require.NoError(t, err)
			require.Empty(t, keys)
			require.Empty(t, b.catalog.tables)
		})
	}
}
