package model_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

func content(t testing.TB) model.Content {
	seen, err := als.Collect(2, 3, []als.Interaction{{User: 0, Item: 2, Weight: 1.5}, {User: 1, Item: 0, Weight: 4}, {User: 1, Item: 2, Weight: 1}})
	require.NoError(t, err)
	together, err := cooccurrence.Count([][]int32{{2, 0}, {2, 0, 2}}, 3)
	require.NoError(t, err)
	return model.Content{
		Items: []model.Entity{
			{ID: "a", Name: "Äpfel", Embedding: []float32{.1, -2}, Bias: 1.5, Features: features.Record{"line": "Fruit & Co", "price": "2.50"}},
			{ID: "b 2", Name: "b 2", Embedding: []float32{0, 1. / 3}, Cold: true, Features: features.Record{}},
			{ID: "c", Name: "c", Embedding: []float32{1, 1}, Bias: .5, Features: features.Record{}},
		},
		Users: []model.Entity{
			{ID: "u1", Name: "One", Embedding: []float32{1, 2}, Features: features.Record{}},
			{ID: "u2", Name: "Two", Embedding: []float32{3, 4}, Features: features.Record{}},
		},
		Encoder: features.Encoder{
			Format: features.EncoderFormat, Dimension: 2, Alpha0: .1, Lambda: .01, Items: 2, Users: 2, WeightUnit: 1,
			Gramian: []float32{1, 0, 0, 1}, MeanUser: []float32{2, 3},
		},
		Metrics: model.Metrics{State: lake.Candidate, Reason: "better", Model: evaluate.Metrics{K: 10, Users: 2, Recall: .5}, Settings: model.Settings{Dimension: 2}},
		Seen:    model.Seen{Users: []string{"u1", "u2"}, Items: []string{"a", "b 2", "c"}, Matrix: seen},

		Cooccurrences: together,
	}
}

func destination(dir string) model.Destination {
	return model.Destination{
		Store: lake.NewDirectory(dir), Dir: lake.ModelDir("v1"), Version: "v1", Dataset: "shop", Run: "20261122T020000Z",
		Parents: []lake.Parent{{Key: "training/shop/dt=2026-11-22/_SUCCESS", SHA256: "ab"}},
	}
}

func TestArtifactReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	c, to := content(t), destination(t.TempDir())
	manifest, published, err := model.Write(t.Context(), to, c)
	require.NoError(t, err)
	require.True(t, published)
	require.Equal(t, lake.ModelCounts{Items: 3, Users: 2, Interactions: 3}, manifest.Counts)
	require.Equal(t, to.Parents, manifest.Parents)

	a, err := model.Open(t.Context(), to.Store, lake.ModelMarker("v1"))
	require.NoError(t, err)
	require.Equal(t, lake.ModelMarker("v1"), a.Marker.Key)
	require.Equal(t, manifest.Files, a.Manifest.Files)
	for _, table := range []struct {
		rows func(func(model.Entity, error) bool)
		want []model.Entity
	}{{a.Items(t.Context()), c.Items}, {a.Users(t.Context()), c.Users}} {
		var got []model.Entity
		for e, err := range table.rows {
			require.NoError(t, err)
			got = append(got, e)
		}
		require.Equal(t, table.want, got)
	}
	var pairs []model.Pair
	for p, err := range a.Interactions(t.Context()) {
		require.NoError(t, err)
		pairs = append(pairs, p)
	}
	require.Equal(t, []model.Pair{{User: "u1", Item: "c", Weight: 1.5}, {User: "u2", Item: "a", Weight: 4}, {User: "u2", Item: "c", Weight: 1}}, pairs)
	encoder, err := a.Encoder(t.Context())
	require.NoError(t, err)
	want := c.Encoder
	want.Version = "v1"
	require.Equal(t, &want, encoder)
	m, err := a.Metrics(t.Context())
	require.NoError(t, err)
	require.Equal(t, c.Metrics, m)
	together, err := a.Cooccurrences(t.Context(), map[string]int32{"a": 0, "b 2": 1, "c": 2})
	require.NoError(t, err)
	require.Equal(t, c.Cooccurrences, together)
	_, err = a.Cooccurrences(t.Context(), map[string]int32{"a": 0, "b 2": 1})
	require.ErrorContains(t, err, `item "a" or "c", which the model does not have`)
}

func TestWritingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, _, err := model.Write(t.Context(), destination(dir), content(t))
	require.NoError(t, err)
	before := files(t, dir)
	require.Len(t, before, 7)
	_, published, err := model.Write(t.Context(), destination(dir), content(t))
	require.NoError(t, err)
	require.False(t, published)
	require.Equal(t, before, files(t, dir))
}

func files(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			all[filepath.Base(path)] = string(text)
		}
		return err
	}))
	return all
}

func TestModelOfNoRunIsNamedForItsContent(t *testing.T) {
	t.Parallel()
	version := func(change func(*model.Content)) string {
		c := content(t)
		change(&c)
		m, _, err := model.Write(t.Context(), model.Destination{Store: lake.NewDirectory(t.TempDir())}, c)
		require.NoError(t, err)
		return m.Version
	}
	first := version(func(*model.Content) {})
	require.Regexp(t, `^local-[0-9a-f]{8}$`, first)
	require.Equal(t, first, version(func(*model.Content) {}))
	require.NotEqual(t, first, version(func(c *model.Content) { c.Metrics.Settings.Lambda = 7 }))
	require.NotEqual(t, first, version(func(c *model.Content) { c.Seen.Users[1] = "u3" }))
}

func TestDamagedArtifactIsRefused(t *testing.T) {
	t.Parallel()
	readAll := func(a *model.Artifact) error {
		if _, err := a.Encoder(t.Context()); err != nil {
			return err
		}
		if _, err := a.Metrics(t.Context()); err != nil {
			return err
		}
		for _, err := range a.Items(t.Context()) {
			if err != nil {
				return err
			}
		}
		for _, err := range a.Users(t.Context()) {
			if err != nil {
				return err
			}
		}
		for _, err := range a.Interactions(t.Context()) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range []string{model.ItemsFile, model.UsersFile, model.InteractionsFile, model.EncoderFile, model.MetricsFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := destination(t.TempDir())
			_, _, err := model.Write(t.Context(), to, content(t))
			require.NoError(t, err)
			a, err := model.Open(t.Context(), to.Store, lake.ModelMarker("v1"))
			require.NoError(t, err)
			require.NoError(t, readAll(a))
			body, _, err := to.Store.Get(t.Context(), lake.ModelDir("v1")+name)
			require.NoError(t, err)
			text, err := io.ReadAll(body)
			require.NoError(t, err)
			text[len(text)/2] ^= 1
			require.NoError(t, to.Store.Put(t.Context(), lake.ModelDir("v1")+name, bytes.NewReader(text)))
			require.ErrorIs(t, readAll(a), lake.ErrStale)
		})
	}
}

func TestRowsThatCannotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*model.Content){
		`id "b" is there twice`:                  func(c *model.Content) { c.Items[0].ID, c.Items[1].ID = "b", "b" },
		`embedding of 3 numbers, the manifest`:   func(c *model.Content) { c.Items[1].Embedding = []float32{1, 2, 3} },
		`id "c" has an embedding of length +Inf`: func(c *model.Content) { c.Items[2].Embedding[0] = float32(math.Inf(1)) },
		`an id is empty`:                         func(c *model.Content) { c.Items[0].ID = "" },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			to, c := destination(t.TempDir()), content(t)
			change(&c)
			_, _, err := model.Write(t.Context(), to, c)
			require.NoError(t, err)
			a, err := model.Open(t.Context(), to.Store, lake.ModelMarker("v1"))
			require.NoError(t, err)
			var last error
			for _, err := range a.Items(t.Context()) {
				last = err
			}
			require.ErrorContains(t, last, want)
			require.ErrorContains(t, last, "model v1: items.parquet")
		})
	}
}

func TestManifestThatIsNoArtifactIsRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string][2]string{
		"lists no encoder.json":           {`models/v1/encoder.json`, `models/v1/other.json`},
		"which is not beside it":          {`models/v1/users.parquet`, `curated/users.parquet`},
		`format "millrace/model/9"`:       {`millrace/model/1`, `millrace/model/9`},
		`state "active" is neither`:       {`"candidate"`, `"active"`},
		`dimension 0: want at least 1`:    {`"dimension": 2,`, `"dimension": 0,`},
		`distance "l2": want inner`:       {`"inner_product"`, `"l2"`},
		`version "../v1": want a name`:    {`"version": "v1"`, `"version": "../v1"`},
		`version "v\n1": want a name`:     {`"version": "v1"`, `"version": "v\n1"`},
		`manifest.json is not valid JSON`: {`{`, ``},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			to := destination(t.TempDir())
			_, _, err := model.Write(t.Context(), to, content(t))
			require.NoError(t, err)
			key := lake.ModelMarker("v1")
			body, etag, err := to.Store.Get(t.Context(), key)
			require.NoError(t, err)
			text, err := io.ReadAll(body)
			require.NoError(t, err)
			changed := strings.Replace(string(text), change[0], change[1], 1)
			require.NotEqual(t, string(text), changed)
			require.NoError(t, to.Store.PutIf(t.Context(), key, []byte(changed), etag))
			_, err = model.Open(t.Context(), to.Store, key)
			require.ErrorContains(t, err, want)
		})
	}
	_, err := model.Open(t.Context(), lake.NewDirectory(t.TempDir()), lake.ModelMarker("none"))
	require.ErrorIs(t, err, lake.ErrNotFound)
}

func TestAnArtifactMayBeCopiedOutOfTheLake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	to := destination(dir)
	_, _, err := model.Write(t.Context(), to, content(t))
	require.NoError(t, err)
	copied := lake.NewDirectory(filepath.Join(dir, lake.ModelDir("v1")))
	a, err := model.Open(t.Context(), copied, model.ManifestFile)
	require.NoError(t, err)
	_, err = a.Encoder(t.Context())
	require.NoError(t, err)
	n := 0
	for _, err := range a.Items(t.Context()) {
		require.NoError(t, err)
		n++
	}
	require.EqualValues(t, a.Manifest.Counts.Items, n)
}

func TestEncoderOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	to := destination(t.TempDir())
	_, _, err := model.Write(t.Context(), to, content(t))
	require.NoError(t, err)
	key := lake.ModelMarker("v1")
	body, etag, err := to.Store.Get(t.Context(), key)
	require.NoError(t, err)
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, to.Store.PutIf(t.Context(), key, bytes.Replace(text, []byte(`"version": "v1"`), []byte(`"version": "v2"`), 1), etag))
	a, err := model.Open(t.Context(), to.Store, key)
	require.NoError(t, err)
	_, err = a.Encoder(t.Context())
	require.ErrorContains(t, err, "model v2: encoder.json is that of v1")
}
