package parquetwriter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// WriteVerified writes rows as one object of the lake, then reads the finished object back with
// the independent reader and compares its content checksum with that of the rows: only what is
// returned may be named in a marker. Memory: one row group while writing, pages while reading.
func WriteVerified(ctx context.Context, s lake.Store, key string, cols []schema.Column, rows iter.Seq2[schema.Row, error]) (lake.File, error) {
	sum := checksum.New(cols)
	file, err := lake.Write(ctx, s, key, func(w io.Writer) error {
		out, err := New(w, cols)
		if err != nil {
			return err
		}
		for row, err := range rows {
			if err != nil {
				return err
			}
			sum.Add(row)
			if err := out.Append(row); err != nil {
				return err
			}
		}
		return out.Close()
	})
	if err != nil {
		return lake.File{}, fmt.Errorf("file %s: %w", key, err)
	}
	file.Rows, file.Checksum = sum.Sum().Rows, sum.Sum()
	if err := verify(ctx, s, file); err != nil {
		return lake.File{}, fmt.Errorf("file %s, read back: %w", key, err)
	}
	return file, nil
}

func verify(ctx context.Context, s lake.Store, f lake.File) (err error) {
	local, err := lake.Fetch(ctx, s, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	return parquetfile.Verify(local, f.Size, f.Checksum)
}
