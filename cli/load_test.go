package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

func TestAModelInADirectoryIsLoadedAndMadeActive(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	for dir, dimension := range map[string]string{first: "8", second: "4"} {
		_, err := millrace(t, "train", "--interactions", ratings(t), "--dim", dimension, "--epochs", "3", "--out", dir)
		require.NoError(t, err)
	}
	text, err := millrace(t, "load", "--model", first, "--postgres", database)
	require.NoError(t, err)
	require.Contains(t, text, "is active, promoted by")
	require.Contains(t, text, "120 items, 120 users, dimension 8; search: exact; prewarmed: ")

	var l loaded
	text, err = millrace(t, "load", "--model", second, "--postgres", database, "--reason", "fewer dimensions", "--json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(text), &l))
	require.True(t, l.Activated)
	require.NotEmpty(t, l.Replaced)
	require.Contains(t, l.Reason, ": fewer dimensions")
	text, err = millrace(t, "load", "--model", second, "--postgres", database)
	require.NoError(t, err)
	require.Contains(t, text, "already loaded, and active")

	items := filepath.Join(first, "items.parquet")
	content, err := os.ReadFile(items)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(items, content, 0o600))
	_, err = millrace(t, "load", "--model", first, "--postgres", database)
	require.ErrorContains(t, err, "items.parquet")
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(database))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, l.Version, active.Version)
}

func TestVectorsMadeElsewhereAreLoadedFromCSV(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	items := "id,embedding,name\nz,\"[0.5, -1e-3]\",Last\na,\"[1,2]\",First\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "items.csv"), []byte(items), 0o600))
	sum := sha256.Sum256([]byte(items))
	manifest := fmt.Sprintf(`{"format": "millrace/model/1", "version": "word2vec-7", "state": "candidate", "dimension": 2, "distance": "inner_product", "counts": {"items": 2},
		"files": [{"key": "items.csv", "size": %d, "sha256": "%s"}]}`, len(items), hex.EncodeToString(sum[:]))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o600))
	text, err := millrace(t, "load", "--model", dir, "--postgres", postgrestest.Database(t))
	require.NoError(t, err)
	require.Contains(t, text, "word2vec-7 is active")

	events := filepath.Join(dir, "events.jsonl")
	require.NoError(t, os.WriteFile(events, []byte(`{"session_id":"s","browse_history":[{"product_code":"z"}]}`), 0o600))
	text, err = millrace(t, "recommend", "--model", dir, "--events", events)
	require.NoError(t, err)
	require.Contains(t, text, `"model_version":"word2vec-7"`)
	require.Contains(t, text, `"id":"a"`)
}

func TestLoadSaysWhatIsWrongAndNeverThePassword(t *testing.T) {
	t.Parallel()
	_, err := millrace(t, "load", "--model", t.TempDir(), "--postgres", "postgres://u:hunter2@127.0.0.1:1/d")
	require.ErrorContains(t, err, "is no artifact")
	_, err = millrace(t, "load")
	require.ErrorContains(t, err, "model")
	dir := filepath.Join(t.TempDir(), "model")
	_, err = millrace(t, "train", "--interactions", ratings(t), "--dim", "4", "--epochs", "2", "--out", dir)
	require.NoError(t, err)
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/d", "hunter2", "mysql://u:hunter2@h/d", "postgres://u:hunter2@[::1/d"} {
		_, err = millrace(t, "load", "--model", dir, "--postgres", url)
		require.Error(t, err)
		require.False(t, strings.Contains(err.Error(), "hunter2"), err.Error())
	}
}
