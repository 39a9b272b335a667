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
	publish(t, objects, version, lake.Candidate)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(postgrestest.Database(t)))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	var emitted bytes.Buffer
	return &loader{objects: objects, bucket: "millrace-lake", store: store, metrics: metrics.New(&emitted, time.Now), now: time.Now}, &emitted
}

func publish(t *testing.T, objects lake.Store, version, state string) {
	t.Helper()
	seen, err := als.Collect(1, 1, []als.Interaction{{Weight: 1}})
	require.NoError(t, err)
	_, _, err = model.Write(t.Context(), model.Destination{
		Store: objects, Dir: lake.ModelDir(version), Version: version, Dataset: "classicmodels", Run: lake.Run(version[:16]),
	}, model.Content{
		Items: []model.Entity{{ID: "S10_1678", Name: "1969 Harley Davidson", Embedding: []float32{1, 2}}},
		Users: []model.Entity{{ID: "103", Name: "Atelier graphique", Embedding: []float32{3, 4}}},
		Encoder: features.Encoder{Format: features.EncoderFormat, Dimension: 2, Alpha0: .1, Lambda: .1, Items: 1, Users: 1, WeightUnit: 1,
			Gramian: []float32{1, 2, 2, 4}, MeanUser: []float32{3, 4}},
		Metrics: model.Metrics{State: state, Reason: map[string]string{lake.Candidate: "better than popularity", lake.Rejected: "worse than the active model"}[state]},
		Seen:    model.Seen{Users: []string{"103"}, Items: []string{"S10_1678"}, Matrix: seen},
	})
	require.NoError(t, err)
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
	require.ErrorContains(t, err, `command "drop": there are rollback, promote and experiment`)
}

func TestTheLakeSaysWhichModelIsActive(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	_, err := l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	active, err := lake.ReadActiveModel(t.Context(), l.objects)
	require.NoError(t, err)
	require.Equal(t, version, active.Version)
	require.Equal(t, lake.ModelMarker(version), active.Manifest.Key)
	require.Equal(t, "newest run", active.Reason)
	require.Empty(t, active.By)
	next := shoptest.Load(t, l.store, "20261123T020000Z")
	_, err = l.Handle(t.Context(), read(t, "loader-manifest.json")) // a second delivery repairs what a crash left unsaid
	require.NoError(t, err)
	active, err = lake.ReadActiveModel(t.Context(), l.objects)
	require.NoError(t, err)
	require.Equal(t, next, active.Version)
	_, err = l.Handle(t.Context(), read(t, "loader-rollback.json"))
	require.NoError(t, err)
	active, err = lake.ReadActiveModel(t.Context(), l.objects)
	require.NoError(t, err)
	require.Equal(t, version, active.Version)
	require.Equal(t, "rolled back from "+next+" by arn:aws:iam::000000000000:user/ops: the new one is all socks", active.Reason)
}

func TestAnOperatorMayServeAnEarlierOrARejectedModelAndItIsRecorded(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	require.NoError(t, l.store.Migrate(t.Context()))
	next := shoptest.Load(t, l.store, "20261123T020000Z") // is active, of a later run
	promote := request{Command: "promote", Version: version, By: "arn:aws:iam::1:user/ann", Reason: "the new one is all socks"}
	out, err := l.Handle(t.Context(), promote)
	require.NoError(t, err)
	require.True(t, out.Activated)
	require.Equal(t, next, out.Replaced)
	active, err := lake.ReadActiveModel(t.Context(), l.objects)
	require.NoError(t, err)
	require.Equal(t, version, active.Version)
	require.Equal(t, "arn:aws:iam::1:user/ann", active.By)
	require.Equal(t, "promoted by arn:aws:iam::1:user/ann: the new one is all socks", active.Reason)
	out, err = l.Handle(t.Context(), promote)
	require.NoError(t, err)
	require.Equal(t, response{Version: version, Reason: "already loaded, and active"}, out)

	publish(t, l.objects, "20261124T020000Z-00000000", lake.Rejected)
	promote.Version = "20261124T020000Z-00000000"
	_, err = l.Handle(t.Context(), promote)
	require.ErrorContains(t, err, "the trainer rejected it: worse than the active model")
	promote.Anyway = true
	out, err = l.Handle(t.Context(), promote)
	require.NoError(t, err)
	require.True(t, out.Activated)
	require.Equal(t, version, out.Replaced)
	versions, err := l.store.Versions(t.Context())
	require.NoError(t, err)
	require.Equal(t, vectorstore.Active, versions[0].State)
	require.Contains(t, versions[0].Reason, "promoted by arn:aws:iam::1:user/ann: the new one is all socks (though the trainer rejected it: worse than the active model)")

	for _, wrong := range []request{{Command: "promote", Version: version, By: "ann"}, {Command: "promote", Version: "../raw", By: "ann", Reason: "fun"}, {Command: "promote", By: "ann", Reason: "fun"}} {
		_, err = l.Handle(t.Context(), wrong)
		require.ErrorContains(t, err, "want a version, who decides it, and why")
	}
}

func TestARejectedFirstModelIsRecordedAndNoError(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	_, err := l.Handle(t.Context(), request{Command: "experiment", Experiment: experimentRequest{Do: "status"}})
	require.NoError(t, err, "before the first model")
	publish(t, l.objects, "20261121T020000Z-0a1b2c3d", lake.Rejected)
	rejected := read(t, "loader-manifest.json")
	rejected.Detail = bytes.ReplaceAll(rejected.Detail, []byte(version), []byte("20261121T020000Z-0a1b2c3d"))
	out, err := l.Handle(t.Context(), rejected)
	require.NoError(t, err)
	require.Equal(t, response{Version: "20261121T020000Z-0a1b2c3d", Reason: "rejected by the trainer: worse than the active model"}, out)
	_, err = lake.ReadActiveModel(t.Context(), l.objects)
	require.ErrorIs(t, err, lake.ErrNotFound)
	out, err = l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	require.True(t, out.Activated)
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
