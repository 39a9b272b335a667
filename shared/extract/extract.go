// Package extract lands one run of one MySQL table in the lake: Avro files of key-ordered
// chunks, each reconciled with the server's own checksum in the same snapshot, then the
// manifest that publishes them. A retry writes the same keys, and the same bytes if the table
// has not changed.
package extract

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// Request is what to extract.
type Request struct {
	Dataset  string // its name
	Table    string
	Settings dataset.Table
	Run      lake.Run
}

// Limits bound chunks and files. All figures are planned from the rows read so far, never from
// the server's statistics, so that a retry cuts the table at the same places.
type Limits struct {
	FirstChunkRows int   // before anything is known of the rows' size
	ChunkBytes     int64 // of Avro: what a chunk aims at
	FileBytes      int64 // of Avro: a file ends with the chunk that reaches this
}

// DefaultLimits have reasons: a chunk of 16 MiB is read and reconciled within seconds, and is what a
// difference points to; files of 128 MiB are what Athena and a Lambda of 1 GB read well.
var DefaultLimits = Limits{FirstChunkRows: 10_000, ChunkBytes: 16 << 20, FileBytes: 128 << 20}

// chunkGrowth bounds how far the rows seen so far are trusted: small rows at the beginning of a
// table say little about its end.
const chunkGrowth = 8

// Progress is told after every chunk.
type Progress struct {
	Table         string
	Rows          int64
	EstimatedRows int64 // the server's estimate; Rows may exceed it
	Chunks        int
}

// Extractor lands tables of one server in one lake.
type Extractor struct {
	Server   *mysqltable.Server
	Store    lake.Store
	Limits   Limits
	Progress func(Progress) // may be nil
}

// Result is what a run came to.
type Result struct {
	Key      string // of the manifest
	Manifest lake.RawManifest
	// Published is false if this run's manifest was there already: nothing was read or written.
	Published bool
}

// ErrDiffers says that the values written are not those the server has.
var ErrDiffers = errors.New("the values read differ from the server's checksum: nothing is published; " +
	"run it again, and if it differs again report the table's definition")

// Extract lands one run of a table.
func (e *Extractor) Extract(ctx context.Context, r Request) (Result, error) {
	result := Result{Key: lake.RawMarker(r.Table, r.Run)}
	existing, _, err := lake.ReadMarker[lake.RawManifest](ctx, e.Store, result.Key, lake.RawFormat)
	if err == nil {
		result.Manifest = existing
		return result, nil
	} else if !errors.Is(err, lake.ErrNotFound) {
		return result, err
	}
	if result.Manifest, err = e.land(ctx, r); err != nil {
		return result, fmt.Errorf("extract %s, run %s: %w", r.Table, r.Run, err)
	}
	result.Published, err = lake.Publish(ctx, e.Store, result.Key, result.Manifest)
	return result, err
}

func (e *Extractor) land(ctx context.Context, r Request) (m lake.RawManifest, err error) {
	snapshot, err := e.Server.Snapshot(ctx)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	table, err := snapshot.Table(ctx, r.Table, mysqltable.Options{ZeroDates: mysqltable.ZeroDates(r.Settings.Extract.ZeroDates)})
	if err != nil {
		return m, err
	}
	if _, err := schema.Positions(table.Columns, r.Settings.Key); err != nil {
		return m, fmt.Errorf("table %s: the key in the dataset: %w", r.Table, err)
	}
	l := &landing{Extractor: e, table: table, manifest: lake.RawManifest{
		Header:   lake.Header{Format: lake.RawFormat, Dataset: r.Dataset, Run: r.Run},
		Table:    r.Table,
		Mode:     r.Settings.Extract.Mode,
		Columns:  table.Columns,
		Key:      r.Settings.Key,
		Snapshot: describe(snapshot, table),
	}}
	if l.manifest.Key == nil {
		l.manifest.Key = table.Key
	}
	if err := l.writeFiles(ctx); err != nil {
		return m, err
	}
	l.manifest.ZeroDates = table.ZeroDates()
	return l.manifest, nil
}

// describe says what the rows are a picture of, and why.
func describe(s *mysqltable.Snapshot, t *mysqltable.Table) lake.Snapshot {
	d := lake.Snapshot{Kind: lake.Consistent, Server: s.Version, Log: s.Position}
	switch {
	case t.Engine == "":
		d.Kind, d.Reason = lake.Fuzzy, "a view: the tables under it may keep no snapshots"
	case !t.Transactional:
		d.Kind, d.Reason = lake.Fuzzy, "storage engine "+t.Engine+" keeps no snapshots: changes made while it was read may show in part"
	case s.WithConsistentSnapshot:
		d.Reason = "one transaction begun WITH CONSISTENT SNAPSHOT"
	default:
		d.Reason = "one REPEATABLE READ transaction; the snapshot is that of its first read, the server has no WITH CONSISTENT SNAPSHOT"
	}
	return d
}

// landing is one table on its way into the lake.
type landing struct {
	*Extractor
	table     *mysqltable.Table
	manifest  lake.RawManifest
	written   int64 // bytes of Avro so far, for planning
	chunkRows int
}

// writeFiles streams the table into files; memory does not depend on the table's size.
func (l *landing) writeFiles(ctx context.Context) error {
	l.chunkRows = l.Limits.FirstChunkRows
	var from []string
	for more := true; more; more = from != nil {
		var chunks []lake.Chunk
		index := len(l.manifest.Files)
		key := lake.RawPart(l.table.Name, l.manifest.Run, index)
		file, err := lake.Write(ctx, l.Store, key, func(w io.Writer) (err error) {
			chunks, from, err = l.writeChunks(ctx, w, index, from)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range chunks {
			file.Rows += c.Checksum.Rows
			file.Checksum = file.Checksum.Plus(c.Checksum)
			l.manifest.Source = l.manifest.Source.Plus(c.Source)
		}
		l.manifest.Files = append(l.manifest.Files, file)
		l.manifest.Chunks = append(l.manifest.Chunks, chunks...)
		l.manifest.Rows += file.Rows
		l.manifest.Checksum = l.manifest.Checksum.Plus(file.Checksum)
	}
	return nil
}

// writeChunks writes one file: chunks beginning at from until the file is large enough or the
// table ends. It returns where the next file begins, nil at the table's end.
func (l *landing) writeChunks(ctx context.Context, w io.Writer, file int, from []string) (chunks []lake.Chunk, next []string, err error) {
	counted := &counter{Writer: w}
	avro, err := avrofile.NewWriter(counted, l.table.Columns)
	if err != nil {
		return nil, nil, err
	}
	before, rows := l.written, l.manifest.Rows
	for {
		chunk, err := l.writeChunk(ctx, avro, from)
		if err != nil {
			return nil, nil, err
		}
		chunk.File = file
		chunks = append(chunks, chunk)
		rows += chunk.Checksum.Rows
		l.written = before + counted.bytes
		l.plan(rows)
		if l.Progress != nil {
			l.Progress(Progress{l.table.Name, rows, l.table.EstimatedRows, len(l.manifest.Chunks) + len(chunks)})
		}
		if chunk.To == nil || counted.bytes >= l.Limits.FileBytes {
			return chunks, chunk.To, avro.Close()
		}
		from = chunk.To
	}
}

// writeChunk writes the rows of one chunk and asks the server for their checksum.
func (l *landing) writeChunk(ctx context.Context, avro *avrofile.Writer, from []string) (lake.Chunk, error) {
	sum := checksum.New(l.table.Columns)
	to, err := l.table.Read(ctx, mysqltable.Range{From: from}, l.chunkRows, func(row schema.Row, _ uint32) error {
		sum.Add(row)
		return avro.Append(row)
	})
	if err != nil {
		return lake.Chunk{}, err
	}
	chunk := lake.Chunk{From: from, To: to, Checksum: sum.Sum()}
	if chunk.Source, err = l.table.Checksum(ctx, mysqltable.Range{From: from, To: to}); err != nil {
		return lake.Chunk{}, err
	}
	if chunk.Source != chunk.Checksum {
		return lake.Chunk{}, fmt.Errorf("table %s, chunk with key %s: read %v, the server has %v: %w",
			l.table.Name, keyRange(from, to), chunk.Checksum, chunk.Source, ErrDiffers)
	}
	return chunk, nil
}

// plan sizes the next chunk from the mean row so far.
func (l *landing) plan(rows int64) {
	if rows == 0 || l.written == 0 {
		return
	}
	target := l.Limits.ChunkBytes * rows / l.written
	l.chunkRows = int(max(1, min(target, int64(l.chunkRows)*chunkGrowth)))
}

func keyRange(from, to []string) string {
	switch {
	case from == nil && to == nil:
		return "any (the whole table)"
	case from == nil:
		return fmt.Sprintf("< %q", to)
	case to == nil:
		return fmt.Sprintf(">= %q", from)
	}
	return fmt.Sprintf(">= %q and < %q", from, to)
}

// counter counts the bytes that reach the file.
type counter struct {
	io.Writer
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.bytes += int64(n)
	return n, err
}
