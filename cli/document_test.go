package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

// TestTheDocumentedLandingOfAForeignTableWorks does what docs/operations.md says, with its manifest and its commands.
func TestTheDocumentedLandingOfAForeignTableWorks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Land a table that is not MySQL's\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var block []string
	for line := range strings.Lines(section) {
		if code, indented := strings.CutPrefix(line, "    "); indented {
			block = append(block, strings.TrimRight(code, "\n"))
		}
	}
	end := len(block) - 2 // the commands
	require.Equal(t, "}", block[end-1])

	type reading struct {
		Sensor string  `parquet:"sensor"`
		Seen   int64   `parquet:"seen,timestamp(millisecond)"`
		Value  float64 `parquet:"value"`
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[reading](&file)
	_, err = w.Write([]reading{{"b", 1_763_800_000_000, 20.5}, {"a", 1_763_800_000_000, 1}, {"a", 1_760_000_000_000, 2}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	place := regexp.MustCompile("`lake/(raw/sensors/[^`]*/)readings.parquet`").FindStringSubmatch(section)
	require.NotNil(t, place)
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, place[1]), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, place[1], "readings.parquet"), file.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, place[1], "_MANIFEST.json"), []byte(strings.Join(block[:end], "\n")), 0o600))

	var out string
	for _, command := range block[end:] {
		words := strings.Fields(strings.NewReplacer("lake/", dir, "'", "").Replace(command))
		require.Equal(t, "millrace", words[0])
		out, err = millrace(t, words[1:]...)
		require.NoError(t, err, command)
	}
	require.Contains(t, out, "intact   curated/sensors/dt=2026-11-22/seen_month=2025-10/part-00000.parquet")
	require.Contains(t, out, "found    raw/sensors/dt=2026-11-22/run=20261122T020000Z/readings.parquet")
	require.Contains(t, out, "seen_month=2025-11")
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), lake.NewDirectory(dir), lake.CuratedMarker("sensors", night), lake.CuratedFormat)
	require.NoError(t, err)
	require.EqualValues(t, 3, m.Rows)
	require.Equal(t, []string{"month(seen)"}, m.PartitionBy)
}
