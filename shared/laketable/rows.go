// Package laketable reads the rows of published Parquet files, verified against the marker that lists them.
package laketable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// ErrContent says that a file has the bytes its marker recorded, but not the columns or rows.
var ErrContent = errors.New("its columns or rows are not those that its marker records: publish it again")

// Rows gives the rows of one listed file. Before the first row its size and SHA-256 have been compared with the marker
// (lake.ErrStale), before the end its columns, row count and content checksum (ErrContent). A pair with an error is the last.
// A row is valid until the next. Memory: a page of each column;
// the file is on the local disk meanwhile, because Parquet is read from its end.
func Rows(ctx context.Context, s lake.Store, f lake.File, cols []schema.Column) iter.Seq2[schema.Row, error] {
	return rows(ctx, s, f, cols, func(io.ReaderAt, int64) error { return nil })
}

// Screened is Rows of a file that another program may have written: one that would take more memory than it is worth is refused
// (parquetfile.ErrScreened) before it is decoded.
func Screened(ctx context.Context, s lake.Store, f lake.File, cols []schema.Column) iter.Seq2[schema.Row, error] {
	return rows(ctx, s, f, cols, parquetfile.Screen)
}

// screen looks at a file before it is decoded.
type screen func(file io.ReaderAt, size int64) error

func rows(ctx context.Context, s lake.Store, f lake.File, cols []schema.Column, screen screen) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		stopped := false
		err := each(ctx, s, f, cols, screen, func(row schema.Row) bool {
			stopped = !yield(row, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// each calls do for every row until it returns false.
func each(ctx context.Context, s lake.Store, f lake.File, cols []schema.Column, screen screen, do func(schema.Row) bool) (err error) {
	local, err := lake.Fetch(ctx, s, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	if err := screen(local, f.Size); err != nil {
		return fmt.Errorf("%s: %w", f.Key, err)
	}
	reader, err := parquetfile.Open(local, f.Size)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Key, err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if !slices.Equal(reader.Columns(), cols) {
		return fmt.Errorf("%s: has columns %v, its marker %v: %w", f.Key, reader.Columns(), cols, ErrContent)
	}
	sum := checksum.New(cols)
	for row := schema.Row(nil); ; {
		row, err = reader.Next(row)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("%s: %w", f.Key, err)
		}
		sum.Add(row)
		if !do(row) {
			return nil
		}
	}
	if sum.Sum() != f.Checksum || f.Rows != f.Checksum.Rows {
		return fmt.Errorf("%s: holds %s, its marker says %d rows and %s: %w", f.Key, sum.Sum(), f.Rows, f.Checksum, ErrContent)
	}
	return nil
}
