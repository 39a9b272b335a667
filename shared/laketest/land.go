// Package laketest makes lakes for tests.
package laketest

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Table is what a database would hold.
type Table struct {
	Name    string
	Columns []schema.Column
	Key     []string
	Rows    []schema.Row
	// Watermark makes it an incremental extraction; the rows are those that changed.
	Watermark *lake.Watermark
}

// Land writes an extraction of the table in files of three rows, as the extractor does,
// and returns the manifest's key.
func Land(t testing.TB, s lake.Store, table Table, run lake.Run) string {
	t.Helper()
	return LandFiles(t, s, table, run, 3)
}

// LandFiles is Land with so many rows in a file.
func LandFiles(t testing.TB, s lake.Store, table Table, run lake.Run, perFile int) string {
	t.Helper()
	manifest := lake.RawManifest{
		Header: lake.Header{Format: lake.RawFormat, Dataset: "classicmodels", Run: run},
		Table:  table.Name, Mode: dataset.Full, Columns: table.Columns, Key: table.Key,
		Snapshot: lake.Snapshot{Kind: "consistent", Reason: "a test", Server: "laketest"},
	}
	if table.Watermark != nil {
		manifest.Mode, manifest.Watermark = dataset.Incremental, table.Watermark
	}
	for i := 0; i < len(table.Rows); i += perFile {
		rows := table.Rows[i:min(i+perFile, len(table.Rows))]
		file, err := lake.Write(context.Background(), s, lake.RawPart(table.Name, run, len(manifest.Files)), func(w io.Writer) error {
			out, err := avrofile.NewWriter(w, table.Columns)
			for _, row := range rows {
				require.NoError(t, err)
				err = out.Append(row)
			}
			require.NoError(t, err)
			return out.Close()
		})
		require.NoError(t, err)
		file.Rows, file.Checksum = int64(len(rows)), Sum(table.Columns, rows)
		manifest.Chunks = append(manifest.Chunks, lake.Chunk{File: len(manifest.Files), Checksum: file.Checksum, Source: file.Checksum})
		manifest.Files = append(manifest.Files, file)
		manifest.Checksum = manifest.Checksum.Plus(file.Checksum)
	}
	manifest.Rows, manifest.Source = manifest.Checksum.Rows, manifest.Checksum
	key := lake.RawMarker(table.Name, run)
	_, err := lake.Publish(context.Background(), s, key, manifest)
	require.NoError(t, err)
	return key
}

// Sum is the checksum of rows.
func Sum(cols []schema.Column, rows []schema.Row) checksum.Sum {
	sum := checksum.New(cols)
	for _, row := range rows {
		sum.Add(row)
	}
	return sum.Sum()
}

// Row makes a row of Go values: nil is NULL, numbers are Value.Int (a decimal's unscaled
// value), float64 is Value.Float, text is Value.Bytes.
func Row(values ...any) schema.Row {
	row := make(schema.Row, len(values))
	for i, value := range values {
		switch v := value.(type) {
		case nil:
			row[i].Null = true
		case int:
			row[i].Int = int64(v)
		case float64:
			row[i].Float = v
		case string:
			row[i].Bytes = []byte(v)
		default:
			panic(fmt.Sprintf("laketest: a value of type %T", value))
		}
	}
	return row
}

// Objects are all objects of a store by key.
func Objects(t testing.TB, s lake.Store) map[string]string {
	t.Helper()
	keys, err := s.List(context.Background(), "")
	require.NoError(t, err)
	objects := map[string]string{}
	for _, key := range keys {
		r, _, err := s.Get(context.Background(), key)
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		objects[key] = string(body)
	}
	return objects
}
