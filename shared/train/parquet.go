package train

import (
	"errors"
	"io"
	"os"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// readParquet reads a flat Parquet file, from millrace or from elsewhere.
func readParquet(f *os.File, columns Columns) (x *Interactions, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	reader, err := parquetfile.Open(f, info.Size())
	if err != nil {
		return nil, &FileError{File: f.Name(), Err: err}
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	x = &Interactions{}
	add, err := x.adder(reader.Columns(), columns)
	if err != nil {
		return nil, &FileError{File: f.Name(), Err: err}
	}
	row := schema.Row(nil)
	for n := 1; ; n++ {
		row, err = reader.Next(row)
		if errors.Is(err, io.EOF) {
			return x, nil
		} else if err != nil {
			return nil, &FileError{File: f.Name(), Line: n, Err: err}
		}
		if column, err := add(row); err != nil {
			return nil, &FileError{File: f.Name(), Line: n, Column: column, Err: err}
		}
	}
}
