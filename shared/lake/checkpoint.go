package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/millrace/millrace/shared/schema"
)

// RawCheckpoint is how far a running extraction has come, so that another invocation can go on:
// raw/<table>/dt=…/run=…/_CHECKPOINT.json, written after each file, removed when the run is published.
type RawCheckpoint struct {
	Header
	Table     string          `json:"table"`
	Mode      string          `json:"mode"`
	Columns   []schema.Column `json:"columns"`
	Key       []string        `json:"key,omitempty"`
	Watermark *Watermark      `json:"watermark,omitempty"`
	Drift     []string        `json:"drift,omitempty"`
	Snapshots []RawSnapshot   `json:"snapshots"` // those that rows were read in
	Sections  []RawSection    `json:"sections"`
	Variant   int             `json:"variant,omitempty"` // of the files to come: see RawVariant
	// Narrowed counts how often the files to come were made smaller because not one could be
	// finished in an invocation.
	Narrowed int `json:"narrowed,omitempty"`
	// Continued counts the invocations that ran out of time and started another one.
	Continued int `json:"continued,omitempty"`
}

// RawSnapshot is what a checkpoint keeps of a snapshot.
type RawSnapshot struct {
	Position string `json:"position,omitempty"`
	Server   string `json:"server"`
}

// RawSection is a part of a table that is read in one sequence.
type RawSection struct {
	From   []string `json:"from,omitempty"` // its first row's place; absent: the table's beginning
	Next   []string `json:"next,omitempty"` // the place to go on from, or, if it is done, where the next section begins; absent: the table's end
	Done   bool     `json:"done,omitempty"`
	Files  []File   `json:"files,omitempty"`
	Chunks []Chunk  `json:"chunks,omitempty"` // their File is an index into the section's Files
	// Rows that could not be carried, as in RawManifest.
	ZeroDates   map[string]int64 `json:"zero_dates,omitempty"`
	InvalidText map[string]int64 `json:"invalid_text,omitempty"`
}

// Landed counts the rows and files that have landed.
func (c RawCheckpoint) Landed() (rows int64, files int) {
	for _, s := range c.Sections {
		files += len(s.Files)
		for _, f := range s.Files {
			rows += f.Rows
		}
	}
	return rows, files
}

// SaveCheckpoint writes a checkpoint over the one with this ETag ("": over none), and returns its own
// ETag. ErrChanged says that another invocation of the run has written one meanwhile.
func SaveCheckpoint(ctx context.Context, s Store, c RawCheckpoint, etag string) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	key := RawCheckpointKey(c.Table, c.Run)
	written := s.PutIf(ctx, key, body, etag)
	if written != nil && !errors.Is(written, ErrChanged) {
		return "", written
	}
	// Read back for its ETag, and because an answer that was lost makes the client repeat a write that
	// had succeeded, which then fails.
	now, etag, err := readAll(ctx, s, key)
	if err == nil && bytes.Equal(now, body) {
		return etag, nil
	} else if err == nil || errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("write %s: %w", key, ErrChanged)
	}
	return "", err
}

// ReadCheckpoint reads a run's checkpoint with its ETag. ErrNotFound if there is none.
func ReadCheckpoint(ctx context.Context, s Store, table string, run Run) (c RawCheckpoint, etag string, err error) {
	key := RawCheckpointKey(table, run)
	body, etag, err := readAll(ctx, s, key)
	if err != nil {
		return c, "", err
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, "", fmt.Errorf("checkpoint %s is not valid JSON: %w", key, err)
	}
	if c.Format != RawCheckpointFormat {
		return c, "", fmt.Errorf("checkpoint %s has format %q, want %q", key, c.Format, RawCheckpointFormat)
	}
	return c, etag, nil
}
