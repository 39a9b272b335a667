package modelloader_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

type bundle struct {
	ctx     context.Context
	dir     string
	objects lake.Store
	store   *vectorstore.Store
}

func setup(t *testing.T) bundle {
	b := bundle{ctx: t.Context(), dir: t.TempDir()}
	b.objects = lake.NewDirectory(b.dir)
	var err error
	b.store, err = vectorstore.Open(b.ctx, vectorstore.URL(postgrestest.Database(t)))
	require.NoError(t, err)
	t.Cleanup(b.store.Close)
	return b
}

// publish writes a model of version v<run> as the trainer does and returns its manifest's key.
func (b bundle) publish(t *testing.T, run lake.Run, state string) string {
	seen, err := als.Collect(2, 2, []als.Interaction{{User: 1, Item: 0, Weight: 1}, {User: 1, Item: 1, Weight: 1}, {User: 0, Item: 0, Weight: 1}})
	require.NoError(t, err)
	together, err := cooccurrence.Count([][]int32{{0, 1}}, 2)
	require.NoError(t, err)
	version := "v" + string(run)
	_, _, err = model.Write(b.ctx, model.Destination{Store: b.objects, Dir: lake.ModelDir(version), Version: version, Dataset: "shop", Run: run}, model.Content{
		Items: []model.Entity{
			{ID: "a", Name: "Äpfel", Embedding: []float32{.1, -2}, Bias: 1.5, Features: features.Record{"line": "Fruit & Co"}},
			{ID: "b 2", Name: "b 2", Embedding: []float32{0, 1. / 3}, Cold: true},
			{ID: "c", Name: "Cherries", Embedding: []float32{1, 1}, Bias: 1},
		},
		Users: []model.Entity{{ID: "103", Name: "One", Embedding: []float32{1, 2}}},
		Encoder: features.Encoder{
			Format: features.EncoderFormat, Dimension: 2, Alpha0: .1, Lambda: .01, Items: 1, Users: 1, WeightUnit: 1,
			Gramian: []float32{1, 0, 0, 1}, MeanUser: []float32{2, 3},
		},
		Metrics: model.Metrics{State: state, Reason: "because"},
		Seen:    model.Seen{Users: []string{"102", "103"}, Items: []string{"a", "c"}, Matrix: seen},

		Cooccurrences: together,
	})
	require.NoError(t, err)
	return lake.ModelMarker(version)
}

// active is the version that is served, "" if none is.
func (b bundle) active(t *testing.T) string {
	now, err := b.store.Active(b.ctx)
	if !errors.Is(err, vectorstore.ErrNoModel) {
		require.NoError(t, err)
	}
	return now.Version
}

func (b bundle) edit(t *testing.T, key string, change func([]byte) []byte) (undo func()) {
	path := filepath.Join(b.dir, filepath.FromSlash(key))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, change(bytes.Clone(before)), 0o600))
	return func() { require.NoError(t, os.WriteFile(path, before, 0o600)) }
}

func TestPublishedModelBecomesActiveOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.publish(t, "1", lake.Candidate)
	out, err := modelloader.Load(b.ctx, b.objects, b.store, key)
	require.NoError(t, err)
	require.True(t, out.Activated)
	now, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	list, err := b.store.Items(b.ctx, now, "", "line")
	require.NoError(t, err)
	require.Equal(t, vectorstore.Items{
		IDs: []string{"a", "b 2", "c"}, Names: []string{"Äpfel", "b 2", "Cherries"}, Embeddings: []float32{.1, -2, 0, 1. / 3, 1, 1},
		Bias: []float32{1.5, 0, 1}, Category: []string{"Fruit & Co", "", ""},
	}, list)
	users, err := b.store.Users(b.ctx, now, []string{"103"})
	require.NoError(t, err)
	require.Equal(t, []int32{0, 2}, users["103"].Bought)
	follows, err := b.store.Cooccurrences(b.ctx, now, 3)
	require.NoError(t, err)
	require.Positive(t, follows.Strength(0, 2), "an item without interactions lies between")
	require.Zero(t, follows.Strength(0, 1))
	text, err := b.store.Encoder(b.ctx, now)
	require.NoError(t, err)
	encoder, err := features.ReadEncoder(bytes.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, []float32{2, 3}, encoder.MeanUser)

	out, err = modelloader.Load(b.ctx, b.objects, b.store, key)
	require.NoError(t, err)
	require.False(t, out.Activated)
	require.Contains(t, out.Reason, "already loaded")
}

func TestModelThatTheTrainerRejectedIsRecordedAndNotLoaded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, err := modelloader.Load(b.ctx, b.objects, b.store, b.publish(t, "1", lake.Rejected))
	require.NoError(t, err)
	require.False(t, out.Activated)
	versions, err := b.store.Versions(b.ctx)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Rejected, versions[0].State)
	require.Equal(t, "rejected by the trainer: because", versions[0].Reason)
	require.Empty(t, b.active(t))
}

func TestCorruptArtifactNeverBecomesActive(t *testing.T) {
	t.Parallel()
	flip := func(text []byte) []byte { text[len(text)/2] ^= 4; return text }
	for name, c := range map[string]struct {
		file   string
		change func([]byte) []byte
		reason string
	}{
		"flipped bit in the items":   {model.ItemsFile, flip, "items.parquet"},
		"flipped bit in the users":   {model.UsersFile, flip, "users.parquet"},
		"flipped bit in the encoder": {model.EncoderFile, flip, "encoder.json"},
		"items cut off":              {model.ItemsFile, func(text []byte) []byte { return text[:len(text)-9] }, "items.parquet"},
		"manifest is not JSON":       {"manifest.json", func(text []byte) []byte { return text[1:] }, "not valid JSON"},
		"manifest of another version": {"manifest.json", func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"version": "v2"`), []byte(`"version": "v9"`), 1)
		}, "says it is version"},
		"wrong dimension": {"manifest.json", func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"dimension": 2`), []byte(`"dimension": 3`), 1)
		}, "dimension"},
		"absurd size": {"manifest.json", func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"size": `), []byte(`"size": 99999999999`), 1)
		}, "bytes, want 1 to"},
		"file elsewhere": {"manifest.json", func(text []byte) []byte {
			return bytes.ReplaceAll(text, []byte(`models/v2/items`), []byte(`models/v1/items`))
		}, "not beside it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := modelloader.Load(b.ctx, b.objects, b.store, b.publish(t, "1", lake.Candidate))
			require.NoError(t, err)
			key := b.publish(t, "2", lake.Candidate)
			undo := b.edit(t, strings.TrimSuffix(key, "manifest.json")+c.file, c.change)
			_, err = modelloader.Load(b.ctx, b.objects, b.store, key)
			require.ErrorContains(t, err, c.reason)
			require.Equal(t, "v1", b.active(t))
			versions, err := b.store.Versions(b.ctx)
			require.NoError(t, err)
			require.Equal(t, "v2", versions[0].Version)
			require.Equal(t, vectorstore.Rejected, versions[0].State)
			require.Contains(t, versions[0].Reason, c.reason)

			undo()
			_, err = modelloader.Load(b.ctx, b.objects, b.store, key)
			require.NoError(t, err)
			require.Equal(t, "v2", b.active(t))
		})
	}
}

func TestMissingManifestIsAnErrorAndNothingIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := modelloader.Load(b.ctx, b.objects, b.store, lake.ModelMarker("nowhere"))
	require.ErrorIs(t, err, lake.ErrNotFound)
	versions, err := b.store.Versions(b.ctx)
	require.NoError(t, err)
	require.Empty(t, versions)
}

// unreachable loses the connection to everything but manifests.
type unreachable struct{ lake.Store }

func (u unreachable) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	if !strings.HasSuffix(key, "manifest.json") {
		return nil, "", &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	}
	return u.Store.Get(ctx, key)
}

func TestLostConnectionDoesNotRejectTheModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.publish(t, "1", lake.Candidate)
	_, err := modelloader.Load(b.ctx, unreachable{b.objects}, b.store, key)
	require.ErrorContains(t, err, "connection reset")
	versions, err := b.store.Versions(b.ctx)
	require.NoError(t, err)
	require.Empty(t, versions)
}

// interrupted breaks off in the middle of objects called so, as a connection to S3 does.
type interrupted struct {
	lake.Store
	name string
}

func (s interrupted) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	body, etag, err := s.Store.Get(ctx, key)
	if err != nil || filepath.Base(key) != s.name {
		return body, etag, err
	}
	cut := io.MultiReader(io.LimitReader(body, 20), iotest.ErrReader(io.ErrUnexpectedEOF))
	return struct {
		io.Reader
		io.Closer
	}{cut, body}, etag, nil
}

func TestAConnectionThatBreaksOffIsNoDefectOfTheArtifact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.publish(t, "1", lake.Candidate)
	for _, name := range []string{
		model.ManifestFile, model.ItemsFile, model.UsersFile, model.EncoderFile, model.MetricsFile, model.InteractionsFile, model.CooccurrencesFile,
	} {
		_, err := modelloader.Load(b.ctx, interrupted{b.objects, name}, b.store, key)
		require.ErrorIs(t, err, lake.ErrInterrupted, name)
		versions, err := b.store.Versions(b.ctx)
		require.NoError(t, err)
		require.Empty(t, versions, name)
	}
	_, err := modelloader.Load(b.ctx, b.objects, b.store, key)
	require.NoError(t, err)
	require.Equal(t, "v1", b.active(t))
}
