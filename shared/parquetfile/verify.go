package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// Checksum reads a whole file and returns its content checksum, rows included.
func Checksum(r io.ReaderAt, size int64) (sum checksum.Sum, err error) {
	reader, err := Open(r, size)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	rows := checksum.New(reader.Columns())
	var row schema.Row
	for {
		if row, err = reader.Next(row); errors.Is(err, io.EOF) {
			if sum = rows.Sum(); sum.Rows != reader.Rows() {
				return sum, fmt.Errorf("parquet file: footer declares %d rows, there are %d", reader.Rows(), sum.Rows)
			}
			return sum, nil
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
