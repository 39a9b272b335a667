package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

const version = "20261122T020000Z-0a1b2c3d" // as in events/

// setup has a published model and an empty database.
func setup(t *testing.T) (*loader, *bytes.Buffer) {
	objects := lake.NewDirectory(t.TempDir())
	seen, err := als.Collect(1, 1, []als.Interaction{{Weight: 1}})
	require.NoError(t, err)
	_, _, err = model.Write(t.Context(), model.Destination{
		Store: objects, Dir: lake.ModelDir(version), Version: version, Dataset: "classicmodels", Run: "20261122T020000Z",
	}, model.Content{
		Items: []model.Entity{{ID: "S10_1678", Name: "1969 Harley Davidson", Embedding: []float32{1, 2}}},
		Users: []model.Entity{{ID: "103", Name: "Atelier graphique", Embedding: []float32{3, 4}}},
		Encoder: features.Encoder{Format: features.EncoderFormat, Dimension: 2, Alpha0: .1, Lambda: .1, Items: 1, Users: 1, WeightUnit: 1,
			Gramian: []float32{1, 2, 2, 4}, MeanUser: []float32{3, 4}},
		Metrics: model.Metrics{State: lake.Candidate, Reason: "better than popularity"},
		Seen:    model.Seen{Users: []string{"103"}, Items: []string{"S10_1678"}, Matrix: seen},
	})
	require.NoError(t, err)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(postgrestest.Database(t)))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	var emitted bytes.Buffer
	return &loader{objects: objects, bucket: "millrace-lake", store: store, metrics: metrics.New(&emitted, time.Now), now: time.Now}, &emitted
}

func read(t *testing.T, name string) (event request) {
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &event))
	return event
}

func TestPublishedManifestMakesItsModelActive(t *testing.T) {
	t.Parallel()
	l, emitted := setup(t)
	out, err := l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	require.Equal(t, response{Version: version, Activated: true, Reason: "newest run", Index: "exact"}, out)
	active, err := l.store.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, version, active.Version)
	require.Contains(t, emitted.String(), `"ModelsActivated":1`)

	out, err = l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	require.False(t, out.Activated, "a second delivery")
}

func TestForeignObjectsAreRefused(t *testing.T) {
	t.Parallel()
	l := &loader{bucket: "millrace-lake"}
	_, err := l.Handle(t.Context(), read(t, "loader-foreign-key.json"))
	require.ErrorIs(t, err, lake.ErrForeignKey)
	l.bucket = "another-lake"
	_, err = l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.ErrorContains(t, err, "another-lake")
}

func TestRollbackCommandReturnsToThePreviousModel(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	_, err := l.Handle(t.Context(), read(t, "loader-rollback.json"))
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
	_, err = l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	_, err = l.Handle(t.Context(), read(t, "loader-rollback.json"))
	require.ErrorIs(t, err, vectorstore.ErrNoPrevious)
	next := shoptest.Load(t, l.store, "20261123T020000Z")
	out, err := l.Handle(t.Context(), read(t, "loader-rollback.json"))
	require.NoError(t, err)
	require.Equal(t, response{Active: version, Previous: next}, out)
	active, err := l.store.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, version, active.Version)
	_, err = l.Handle(t.Context(), request{Command: "drop"})
	require.ErrorContains(t, err, `command "drop": there is only rollback`)
}

func TestCorruptArtifactFailsTheInvocation(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	require.NoError(t, l.objects.Put(t.Context(), lake.ModelDir(version)+model.ItemsFile, strings.NewReader("PAR1 not really")))
	_, err := l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.ErrorContains(t, err, "items.parquet")
	_, err = l.store.Active(context.Background())
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
}
