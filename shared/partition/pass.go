package partition

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/rowbatch"
)

// Limits bound memory and files, in bytes.
type Limits struct {
	File   int64 // of a Parquet file: it ends with the page that reaches this
	Buffer int   // of the rows that are sorted in memory
}

// DefaultLimits are for any table: Athena reads files of 128 MiB best, and 24 MiB of rows, with what reading, encoding and
// verifying take beside them, stay below 128 MiB unless texts are very long. A larger buffer sorts no faster: up to 1.5 GiB of rows are merged at once.
func DefaultLimits() Limits { return Limits{File: 128 << 20, Buffer: 24 << 20} }

// GCPercent is what a program that partitions gives debug.SetGCPercent: as fast as 400, and within 128 MB at 20 M rows, where 400 takes 177 MiB.
const GCPercent = 200

const (
	// Batches on their way from the reader, so that reading and the rest take turns on two processors.
	batchesAhead = 4
	batchRows    = 2048
)

// errDisorder says that rows which were to be streamed through are not in the order of the key.
var errDisorder = errors.New("the rows are not in the order of the key")

// curate reads the landed files and writes the curated ones. The result depends on the rows, their order and the limits alone,
// so a second run writes the same bytes. Without a store nothing is published.
func curate(ctx context.Context, from, to lake.Store, t *table, limits Limits, w *watch) ([]lake.File, checksum.Sum, error) {
	if len(t.by) == 0 { // what comes in order needs no sorting: the extractor reads along the key
		files, sum, err := stream(ctx, from, to, t, limits, w)
		if !errors.Is(err, errDisorder) {
			return files, sum, err
		}
		w.restart()
	}
	return sorted(ctx, from, to, t, limits, w)
}

func stream(ctx context.Context, from, to lake.Store, t *table, limits Limits, w *watch) ([]lake.File, checksum.Sum, error) {
	out := newFiles(ctx, to, t, newParts(nil), limits.File, w)
	last := rowbatch.New(t.columns)
	err := read(ctx, from, t, w, func(b *rowbatch.Batch) error {
		if !inOrder(t.key, last, b) {
			return errDisorder
		}
		if b.Len() > 0 {
			last.Reset()
			last.AppendRange(b, b.Len()-1, b.Len())
		}
		return out.add(0, b, 0, b.Len())
	})
	if err != nil {
		out.abandon()
		return nil, checksum.Sum{}, err
	}
	return out.close()
}

func sorted(ctx context.Context, from, to lake.Store, t *table, limits Limits, w *watch) (_ []lake.File, _ checksum.Sum, err error) {
	s := newSorter(t.columns, t.key, newParts(t.by), limits.Buffer)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := read(ctx, from, t, w, s.add); err != nil {
		return nil, checksum.Sum{}, err
	}
	out := newFiles(ctx, to, t, s.parts, limits.File, w)
	if err := s.drain(out.add); err != nil {
		out.abandon()
		return nil, checksum.Sum{}, err
	}
	return out.close()
}

// read decodes the landed files beside what do does with the rows.
func read(ctx context.Context, s lake.Store, t *table, w *watch, do func(*rowbatch.Batch) error) error {
	group, ctx := errgroup.WithContext(ctx)
	full, free := make(chan *rowbatch.Batch, batchesAhead), make(chan *rowbatch.Batch, batchesAhead)
	for range batchesAhead {
		free <- rowbatch.New(t.columns)
	}
	group.Go(func() error {
		defer close(full)
		for i := range t.manifest.Files {
			f := &t.manifest.Files[i]
			err := readFile(ctx, s, *f, t.columns, func(next func(*rowbatch.Batch) error) error {
				for {
					var b *rowbatch.Batch
					select {
					case b = <-free:
					case <-ctx.Done():
						return context.Cause(ctx)
					}
					b.Reset()
					if err := next(b); errors.Is(err, io.EOF) {
						free <- b
						return nil
					} else if err != nil {
						return err
					}
					if err := w.read(f, b); err != nil {
						return err
					}
					select {
					case full <- b:
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}
			})
			if err != nil {
				return fmt.Errorf("file %s: %w", f.Key, err)
			}
			w.readEnd(f)
		}
		return nil
	})
	group.Go(func() error {
		for b := range full {
			if err := do(b); err != nil {
				return err
			}
			free <- b
		}
		return nil
	})
	return group.Wait()
}
