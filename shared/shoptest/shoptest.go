// Package shoptest is a small shop with a model, for tests of what serves it.
package shoptest

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

const dimension = 4

// Products are the items of every model, ascending; the first is the most popular.
var Products = []string{
	"S10_1678", "S10_1949", "S10_2016", "S10_4698", "S10_4757", "S10_4962",
	"S12_1099", "S12_1108", "S12_1666", "S12_2823", "S12_3148", "S12_3380",
}

// Users of every model: one with a trained embedding, one known by features only.
const (
	Trained = "103"
	Cold    = "112"
)

// Store opens a fresh database with the schema millrace and no model.
func Store(t testing.TB) *vectorstore.Store {
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(postgrestest.Database(t)))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// Load makes a model of the shop active; each run has its own embeddings. The version is returned.
func Load(t testing.TB, store *vectorstore.Store, run string) string {
	var seed [32]byte
	copy(seed[:], run)
	random := rand.New(rand.NewChaCha8(seed))
	vectors := func(n int) []float32 {
		v := make([]float32, n*dimension)
		for k := range v {
			v[k] = float32(random.NormFloat64())
		}
		return v
	}
	items := vectors(len(Products))
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}, {Name: "creditLimit", Kind: features.Number}},
		[]features.Record{{"country": "France", "creditLimit": "1"}, {"country": "France"}, {"country": "Poland", "creditLimit": "9"}, {"country": "Poland"}}, vectors(4), dimension)
	require.NoError(t, err)
	version := run + "-0a1b2c3d"
	var encoder bytes.Buffer
	require.NoError(t, features.WriteEncoder(&encoder, &features.Encoder{
		Format: features.EncoderFormat, Version: version, Dimension: dimension, Alpha0: 0.05, Lambda: 0.02, WeightUnit: 1,
		Items: len(Products), Users: 1, Gramian: als.Gramian(items, dimension), MeanUser: vectors(1), UserSide: &regression,
	}))
	out, err := store.Load(t.Context(), vectorstore.Model{
		Version: version, Dataset: "classicmodels", Run: run, ManifestKey: "models/" + version + "/manifest.json", ManifestSHA256: run,
		Dimension: dimension, Distance: "inner_product", Encoder: encoder.Bytes(), Metrics: []byte(`{"model":{"recall":0.5}}`),
		ItemCount: int64(len(Products)), UserCount: 2,
		Items: func(yield func(vectorstore.Entity, error) bool) {
			for n, id := range Products {
				if !yield(vectorstore.Entity{ID: id, Name: "Name of " + id, Embedding: items[n*dimension : (n+1)*dimension], Bias: float32(len(Products) - n)}, nil) {
					return
				}
			}
		},
		Users: pair(vectorstore.Entity{ID: Trained, Name: "Atelier graphique", Embedding: vectors(1)}, vectorstore.Entity{ID: Cold, Name: "Signal Gift Stores", Embedding: vectors(1), Cold: true}),
	})
	require.NoError(t, err)
	require.True(t, out.Activated, out.Reason)
	return version
}

func pair(list ...vectorstore.Entity) iter.Seq2[vectorstore.Entity, error] {
	return func(yield func(vectorstore.Entity, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}
