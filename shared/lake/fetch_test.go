package lake_test

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

func TestFetchedFileIsWhatWasListedAndVanishes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	store := lake.NewDirectory(t.TempDir())
	file, err := lake.Write(context.Background(), store, "a/b", func(w io.Writer) error {
		_, err := io.WriteString(w, "twelve bytes")
		return err
	})
	require.NoError(t, err)
	local, err := lake.Fetch(context.Background(), store, file)
	require.NoError(t, err)
	end := make([]byte, 5)
	_, err = local.ReadAt(end, file.Size-5)
	require.NoError(t, err)
	require.Equal(t, "bytes", string(end))
	requireEmpty(t, os.TempDir())
	require.NoError(t, local.Close())

	require.NoError(t, store.Put(context.Background(), "a/b", strings.NewReader("twelve Bytes")))
	_, err = lake.Fetch(context.Background(), store, file)
	require.ErrorIs(t, err, lake.ErrStale)
	requireEmpty(t, os.TempDir())
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}
