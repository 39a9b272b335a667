package train_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/train"
	"github.com/millrace/millrace/shared/trainset"
)

// Users and items are read from the same days as the training set's rows.
func TestEntitiesAreThoseOfTheRunThoughOnlyChangesWereExtracted(t *testing.T) {
	t.Parallel()
	const monday, tuesday lake.Run = "20261116T020000Z", "20261117T020000Z"
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	s := lake.NewDirectory(t.TempDir())
	curate := func(table laketest.Table, run lake.Run) {
		_, err := partition.Write(t.Context(), s, laketest.Land(t, s, table, run), partition.Options{Limits: partition.DefaultLimits()})
		require.NoError(t, err)
	}
	tables := laketest.Shop()
	customers := tables["customers"]
	all, low := customers.Rows, "1"
	customers.Watermark = &lake.Watermark{Column: "customerNumber", High: "1"}
	curate(customers, monday)
	moved := all[0].Clone()
	moved[2].Bytes = []byte("Rennes")
	customers.Rows = append(customers.Rows[:0:0], moved)
	customers.Watermark = &lake.Watermark{Column: "customerNumber", Low: &low, High: "2"}
	for _, table := range []laketest.Table{tables["products"], tables["ratings"], customers} {
		curate(table, tuesday)
	}
	result, err := trainset.Write(t.Context(), s, shop, tuesday, trainset.Settings{Engine: trainset.InProcess, Limits: trainset.LimitsOf(1769, 0)})
	require.NoError(t, err)

	in, err := train.FromLake(t.Context(), s, shop, result.Marker)
	require.NoError(t, err)
	cities := map[string]any{}
	for _, user := range in.Users {
		cities[user.ID] = user.Values["city"]
	}
	require.Equal(t, map[string]any{"103": "Rennes", "112": "Las Vegas", "119": "São Paulo", "121": "Stavern"}, cities)
	require.Len(t, in.Items, 4)
	require.Contains(t, in.Items[0].Values, "quantityInStock", "recommendations depend on it, and no feature is made of it")

	require.NoError(t, s.Delete(t.Context(), lake.CuratedMarker("customers", monday)))
	_, err = train.FromLake(t.Context(), s, shop, result.Marker)
	require.ErrorIs(t, err, lake.ErrNotFound)
}
