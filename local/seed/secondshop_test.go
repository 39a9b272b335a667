package seed_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/embeddedmysql"
	"github.com/millrace/millrace/local/seed"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/train"
	"github.com/millrace/millrace/shared/trainset"
)

// A shop with other tables, no ratings, and a time: only its dataset file is new.
func TestASecondShopGoesTheWholeWayFromMySQLToAModel(t *testing.T) {
	t.Parallel()
	shop, err := dataset.Load(seed.OnlineRetail)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	embedded, err := embeddedmysql.New(listener, embeddedmysql.Account{Database: "shop", User: "shop", Password: "secret"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- embedded.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	dsn := "shop:secret@tcp(" + listener.Addr().String() + ")/shop"
	results, err := seed.Load(ctx, open(t, dsn), seed.OnlineRetail)
	require.NoError(t, err)
	require.Equal(t, []seed.Result{{"customers", 366, true}, {"products", 500, true}, {"purchases", 15350, true}}, results)

	cfg, err := mysqltable.ParseDSN(dsn)
	require.NoError(t, err)
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	store, run := lake.NewDirectory(t.TempDir()), lake.Run("20261122T020000Z")
	extractor := extract.Extractor{Server: server, Store: store, Limits: extract.DefaultLimits, Ranges: 1}
	for _, table := range shop.TableNames() {
		landed, err := extractor.Extract(ctx, extract.Request{Dataset: shop.Name, Table: table, Settings: shop.Tables[table], Run: run})
		require.NoError(t, err)
		_, err = partition.Write(ctx, store, landed.Key, partition.Options{Dataset: shop.Name, PartitionBy: shop.Tables[table].PartitionBy, Limits: partition.DefaultLimits()})
		require.NoError(t, err)
	}
	set, err := trainset.Write(ctx, store, shop, run, trainset.Settings{Limits: trainset.LimitsOf(1769, 15*time.Minute)})
	require.NoError(t, err)
	require.Empty(t, set.Waiting)
	require.EqualValues(t, 15350, set.Marker.Rows)
	input, err := train.FromLake(ctx, store, shop, set.Marker)
	require.NoError(t, err)
	content, err := train.Run(ctx, input, train.Settings{Dimension: 16, Epochs: 4}, nil)
	require.NoError(t, err)
	m := content.Metrics
	require.Equal(t, lake.Candidate, m.State, m.Reason)
	require.Equal(t, "by_time", m.HoldOut.Method)
	require.Equal(t, 366, m.Data.Users)
	require.NotNil(t, m.ColdStart.ItemSide.FromFeatures)
	require.Greater(t, m.ColdStart.ItemSide.FromFeatures.Model.Recall, 1.5*m.ColdStart.ItemSide.FromFeatures.Baseline.Recall, "words of the description tell who buys what is new")
	manifest, published, err := model.Write(ctx, model.Destination{Store: store, Dir: lake.ModelDir("v1"), Version: "v1", Dataset: shop.Name, Run: run}, content)
	require.NoError(t, err)
	require.True(t, published)
	require.Equal(t, lake.ModelCounts{Items: 500, Users: 366, Interactions: int64(m.Data.Pairs)}, manifest.Counts)
}
