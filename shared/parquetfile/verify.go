package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// batchRows are decoded at a time: small enough for the processor's cache, large enough that a column's turn is no cost.
const batchRows = 2048

// Checksum reads a whole file and returns its content checksum, rows included. Row groups are read side by side.
func Checksum(r io.ReaderAt, size int64) (sum checksum.Sum, err error) {
	reader, err := Open(r, size)
	if err != nil {
		return sum, err
	}
	groups := len(reader.file.RowGroups())
	sums := make([]checksum.Sum, groups)
	var readers errgroup.Group
	readers.SetLimit(runtime.GOMAXPROCS(0))
	for g := range groups {
		readers.Go(func() (err error) {
			sums[g], err = checksumGroup(reader.file, g)
			return err
		})
	}
	if err := readers.Wait(); err != nil {
		return sum, err
	}
	for _, s := range sums {
		sum = sum.Plus(s)
	}
	if sum.Rows != reader.Rows() {
		return sum, fmt.Errorf("parquet file: footer declares %d rows, there are %d", reader.Rows(), sum.Rows)
	}
	return sum, nil
}

func checksumGroup(file *parquet.File, g int) (sum checksum.Sum, err error) {
	reader, err := newReader(file)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	reader.group, reader.last = g, g+1
	if slices.ContainsFunc(reader.cols, func(c schema.Column) bool { return c.Kind == schema.Vector }) {
		return reader.checksumRows()
	}
	batch, rows := rowbatch.New(reader.cols), rowbatch.NewChecksum(reader.cols)
	for {
		batch.Reset()
		if err := reader.NextBatch(batch, batchRows); errors.Is(err, io.EOF) {
			return rows.Sum(), nil
		} else if err != nil {
			return sum, err
		}
		rows.Add(batch)
	}
}

func (r *Reader) checksumRows() (sum checksum.Sum, err error) {
	rows := checksum.New(r.cols)
	var row schema.Row
	for {
		if row, err = r.Next(row); errors.Is(err, io.EOF) {
			return rows.Sum(), nil
		} else if err != nil {
			return sum, err
		}
		rows.Add(row)
	}
}

// ErrDifferent says that a file does not hold the rows that were written to it.
var ErrDifferent = errors.New("the finished file does not hold the rows that were written: it must not be published")

// Verify reads a finished file back and compares it with the checksum of the rows written.
func Verify(r io.ReaderAt, size int64, want checksum.Sum) error {
	got, err := Checksum(r, size)
	if err == nil && got != want {
		err = fmt.Errorf("%w: wrote %s, read back %s", ErrDifferent, want, got)
	}
	return err
}
