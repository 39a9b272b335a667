package model_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// memory is a store to read from.
type memory struct {
	lake.Store
	objects map[string][]byte
}

func (m memory) Get(_ context.Context, key string) (io.ReadCloser, string, error) {
	text, found := m.objects[key]
	if !found {
		return nil, "", fmt.Errorf("read %s: %w", key, lake.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(text)), "", nil
}

// artifact is a small one in memory.
func artifact(t testing.TB) memory {
	dir := t.TempDir()
	_, _, err := model.Write(t.Context(), destination(dir), content(t))
	require.NoError(t, err)
	m := memory{objects: map[string][]byte{}}
	paths, err := filepath.Glob(filepath.Join(dir, "models", "v1", "*"))
	require.NoError(t, err)
	for _, p := range paths {
		text, err := os.ReadFile(p)
		require.NoError(t, err)
		m.objects[lake.ModelDir("v1")+path.Base(filepath.ToSlash(p))] = text
	}
	return m
}

// read reads all of an artifact, and checks what its readers rely on.
func (m memory) read(t *testing.T) error {
	a, err := model.Open(t.Context(), m, lake.ModelMarker("v1"))
	if err != nil {
		return err
	}
	if _, err = a.Encoder(t.Context()); err != nil {
		return err
	}
	number := map[string]int32{}
	last := ""
	for e, err := range a.Items(t.Context()) {
		if err != nil {
			return err
		}
		require.Greater(t, e.ID, last)
		require.Len(t, e.Embedding, a.Manifest.Dimension)
		for _, x := range e.Embedding {
			require.False(t, math.IsNaN(float64(x)) || math.IsInf(float64(x), 0))
		}
		last = e.ID
		number[e.ID] = int32(len(number))
	}
	require.EqualValues(t, a.Manifest.Counts.Items, len(number))
	for _, failed := range a.Users(t.Context()) {
		err = errors.Join(err, failed)
	}
	for _, failed := range a.Interactions(t.Context()) {
		err = errors.Join(err, failed)
	}
	if err != nil {
		return err
	}
	_, err = a.Cooccurrences(t.Context(), number)
	return err
}

// bounded fails if reading allocates more than any artifact of a few KB should.
func (m memory) bounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = m.read(t)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(600<<20))
}

// FuzzManifest reads an artifact whose manifest is hostile.
func FuzzManifest(f *testing.F) {
	m := artifact(f)
	require.NotEmpty(f, m.objects[lake.ModelMarker("v1")])
	f.Add(m.objects[lake.ModelMarker("v1")])
	f.Add([]byte(`{"format":"millrace/model/1","version":"v1","state":"candidate","dimension":2,"distance":"inner_product","files":[{"key":"models/v1/../../etc/passwd"}]}`))
	f.Add([]byte(`{"format":"millrace/model/1","files":[{"key":"models/v1/items.parquet","size":-1}],"counts":{"items":-9223372036854775808}}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		with := memory{objects: map[string][]byte{lake.ModelMarker("v1"): manifest}}
		for key, text := range m.objects {
			if key != lake.ModelMarker("v1") {
				with.objects[key] = text
			}
		}
		with.bounded(t)
	})
}

// FuzzArtifact reads an artifact one of whose files is hostile, and whose manifest agrees with it.
func FuzzArtifact(f *testing.F) {
	m := artifact(f)
	names := []string{model.ItemsFile, model.EncoderFile, model.InteractionsFile, model.CooccurrencesFile, model.ItemsCSV}
	for n, name := range names[:4] {
		f.Add(byte(n), m.objects[lake.ModelDir("v1")+name])
	}
	f.Add(byte(4), []byte("id,embedding,name\nb,\"[1e-3,-2]\",B\na,\"[1,2]\",\n"))
	f.Fuzz(func(t *testing.T, which byte, text []byte) {
		name := names[int(which)%len(names)]
		var manifest lake.ModelManifest
		require.NoError(t, json.Unmarshal(m.objects[lake.ModelMarker("v1")], &manifest))
		sum := sha256.Sum256(text)
		file := lake.File{Key: lake.ModelDir("v1") + name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
		if name == model.ItemsCSV {
			manifest.Files, manifest.Counts.Items, manifest.Counts.Users = []lake.File{file}, int64(bytes.Count(text, []byte("\n"))-1), 0
		}
		for n, there := range manifest.Files {
			if there.Key == file.Key { // its rows stay as recorded: wrong ones are to be found
				file.Rows, file.Checksum = there.Rows, there.Checksum
				manifest.Files[n] = file
			}
		}
		marker, err := json.Marshal(manifest)
		require.NoError(t, err)
		with := memory{objects: map[string][]byte{}}
		for key, other := range m.objects {
			with.objects[key] = other
		}
		with.objects[file.Key], with.objects[lake.ModelMarker("v1")] = text, marker
		with.bounded(t)
	})
}

func TestTheArtifactThatIsFuzzedCanBeRead(t *testing.T) {
	t.Parallel()
	require.NoError(t, artifact(t).read(t))
}
