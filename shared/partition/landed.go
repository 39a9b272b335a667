package partition

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// batches is an Avro or Parquet file as its reader gives it.
type batches interface {
	Columns() []schema.Column
	NextBatch(b *rowbatch.Batch, rows int) error
}

var (
	_ batches = (*avrofile.Reader)(nil)
	_ batches = (*parquetfile.Reader)(nil)
)

// readFile opens a landed file, whose columns are known, and gives do a function that reads the next rows.
func readFile(ctx context.Context, s lake.Store, f lake.File, cols []schema.Column, do func(next func(*rowbatch.Batch) error) error) error {
	return openLanded(ctx, s, f, func(file batches) error {
		if !slices.Equal(file.Columns(), cols) {
			return fmt.Errorf("its columns are %s, the table's %s", describe(file.Columns()), describe(cols))
		}
		return do(func(b *rowbatch.Batch) error { return file.NextBatch(b, batchRows) })
	})
}

// openLanded tells Avro, which is read as it comes, from Parquet, which is read from its end, by the first bytes. When do has
// read all, size and SHA-256 have been compared with what is listed.
func openLanded(ctx context.Context, s lake.Store, f lake.File, do func(batches) error) (err error) {
	body, err := lake.Open(ctx, s, f)
	if err != nil {
		return missing(err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	src := bufio.NewReaderSize(body, 64<<10)
	switch magic, _ := src.Peek(4); string(magic) {
	case "PAR1":
		return openParquet(ctx, s, f, do)
	case "Obj\x01":
	default:
		_, err := io.Copy(io.Discard, src) // which tells a damaged file from one of another kind
		return errors.Join(fmt.Errorf("it begins with %q: neither a Parquet file (PAR1) nor an Avro file (Obj\\x01): write it as one of them", magic), err)
	}
	file, err := avrofile.NewReader(src)
	if err != nil {
		return err
	}
	if err := do(file); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, src) // what an Avro reader leaves is part of the SHA-256
	return err
}

// missing adds the remedy where the file is not there.
func missing(err error) error {
	if !errors.Is(err, lake.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: put it back, or remove the manifest that lists it and land the run again", err)
}

func openParquet(ctx context.Context, s lake.Store, f lake.File, do func(batches) error) (err error) {
	local, err := lake.Fetch(ctx, s, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	file, err := parquetfile.Open(local, f.Size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return do(file)
}

// describe shows columns in a message.
func describe(cols []schema.Column) string {
	text := ""
	for i, c := range cols {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s", c.Name, c.Kind)
		switch {
		case c.Bits > 0:
			text += fmt.Sprintf("(%d)", c.Bits)
		case c.Precision > 0:
			text += fmt.Sprintf("(%d,%d)", c.Precision, c.Scale)
		case c.Fraction > 0:
			text += fmt.Sprintf("(%d)", c.Fraction)
		}
		if c.Nullable {
			text += " null"
		}
		if c.Source != "" {
			text += " (" + c.Source + ")"
		}
	}
	return text
}
