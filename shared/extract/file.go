package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// written is a file with what it holds.
type written struct {
	file                   lake.File
	chunks                 []lake.Chunk
	next                   []string // the place after it; nil at the table's end
	ends                   bool     // the section with it
	zeroDates, invalidText map[string]int64
}

// writeFile writes the next file of a section. A file is never replaced: an earlier attempt's with the
// same content is taken for it, beside one with other content it gets another key. So whatever
// manifest is published, by whichever of several attempts, its files stay what it says.
func (l *landing) writeFile(ctx context.Context, table *mysqltable.Table, i int) error {
	started := time.Now()
	number := i*filesPerSection + len(l.section(i).Files)
	for {
		variant := l.variant(0)
		var f written
		file, err := lake.Create(ctx, l.Store, lake.RawVariant(l.request.Table, l.request.Run, number, variant), func(w io.Writer) (err error) {
			f, err = l.writeChunks(ctx, table, i, w)
			return err
		})
		if errors.Is(err, lake.ErrChanged) {
			l.variant(variant + 1)
			continue
		} else if err != nil {
			return err
		}
		for _, c := range f.chunks {
			file.Rows += c.Checksum.Rows
			file.Checksum = file.Checksum.Plus(c.Checksum)
		}
		f.file = file
		return l.landed(ctx, i, f, time.Since(started))
	}
}

// variant is that of the files to come, not below least.
func (l *landing) variant(least int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Variant = max(l.state.Variant, least)
	return l.state.Variant
}

// writeChunks writes one file: chunks of a section, until the file is large enough or the section
// ends. Memory does not depend on the table's size.
func (l *landing) writeChunks(ctx context.Context, table *mysqltable.Table, i int, w io.Writer) (f written, err error) {
	counted := &counter{Writer: w}
	avro, err := avrofile.NewWriter(counted, table.Columns)
	if err != nil {
		return f, err
	}
	section := l.section(i)
	limits := l.Limits.narrowed(l.state.Narrowed)
	var rows, bytes int64 // of the section's files
	for _, done := range section.Files {
		rows, bytes = rows+done.Rows, bytes+done.Size
	}
	zeroDates, invalidText := maps.Clone(table.ZeroDates()), maps.Clone(table.InvalidText())
	f.next = section.Next
	for size := limits.chunkRows(rows, bytes, 0); ; size = limits.chunkRows(rows, bytes+counted.bytes, size) {
		to := l.reached(i, place{from: f.next, rows: rows})
		limit := int64(size)
		if to == nil {
			limit = min(limit, l.Limits.SectionRows-rows)
		}
		chunk, err := l.writeChunk(ctx, table, avro, f.next, to, int(limit))
		if err != nil {
			return f, err
		}
		f.chunks, f.next = append(f.chunks, chunk), chunk.To
		rows += chunk.Checksum.Rows
		to = l.reached(i, place{from: f.next, rows: rows, ended: f.next == nil})
		l.progress(table)
		f.ends = f.next == nil || to == nil && rows == l.Limits.SectionRows || to != nil && slices.Equal(f.next, to)
		if f.ends || counted.bytes >= limits.FileBytes && len(section.Files) < filesPerSection-1 {
			f.zeroDates, f.invalidText = minus(table.ZeroDates(), zeroDates), minus(table.InvalidText(), invalidText)
			return f, avro.Close()
		}
	}
}

// reached notes how far a section is read, and tells where the next one begins if that is known.
func (l *landing) reached(i int, at place) (to []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at.taken = true
	l.at[i] = at
	if i+1 < len(l.state.Sections) {
		to = l.state.Sections[i+1].From
	}
	return to
}

func (l *landing) progress(table *mysqltable.Table) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chunks++
	if l.Progress == nil {
		return
	}
	p := Progress{Table: table.Name, EstimatedRows: table.EstimatedRows, Chunks: l.chunks}
	for _, at := range l.at {
		p.Rows += at.rows
	}
	l.Progress(p)
}

// writeChunk writes the rows of one chunk. The server sends each row with its CRC, and counts them
// by itself: what was altered, lost or doubled on the way here shows in this chunk.
func (l *landing) writeChunk(ctx context.Context, table *mysqltable.Table, avro *avrofile.Writer, from, to []string, limit int) (lake.Chunk, error) {
	values := checksum.New(table.Columns)
	var source checksum.Sum
	next, err := table.Read(ctx, l.within(from, to), limit, func(row schema.Row, crc uint32) error {
		if values.Add(row) != crc {
			return fmt.Errorf("%s: %w", table.RowName(row), ErrDiffers)
		}
		source.Add(crc)
		return avro.Append(row)
	})
	if err != nil {
		return lake.Chunk{}, err
	}
	if next == nil {
		next = to
	}
	if source.Rows, err = table.Count(ctx, l.within(from, next)); err != nil {
		return lake.Chunk{}, err
	}
	chunk := lake.Chunk{From: from, To: next, Checksum: values.Sum(), Source: source, Snapshot: len(l.state.Snapshots) - 1}
	if chunk.Source != chunk.Checksum {
		return lake.Chunk{}, fmt.Errorf("table %s, chunk with key %s: read %v, the server has %v: %w",
			table.Name, keyRange(from, next), chunk.Checksum, chunk.Source, ErrDiffers)
	}
	return chunk, nil
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

func minus(a, b map[string]int64) map[string]int64 {
	var out map[string]int64
	for column, n := range a {
		if n -= b[column]; n > 0 {
			out = plus(out, map[string]int64{column: n})
		}
	}
	return out
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
