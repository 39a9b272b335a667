package trainset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// rows reads a curated table, file after file, and checks each against its marker.
// Memory: one file, and a page of each column.
type rows struct {
	store lake.Store
	table *lake.CuratedSuccess
	next  int // file
	file  *parquetfile.Reader
	sum   *checksum.Rows
	row   schema.Row
}

// Next returns the next row, valid until the next call, or io.EOF.
func (r *rows) Next(ctx context.Context) (schema.Row, error) {
	for {
		if r.file == nil {
			if r.next == len(r.table.Files) {
				return nil, io.EOF
			}
			if err := r.open(ctx); err != nil {
				return nil, r.explain(r.next, err)
			}
			r.next++
		}
		var err error
		if r.row, err = r.file.Next(r.row); err == nil {
			r.sum.Add(r.row)
			return r.row, nil
		} else if !errors.Is(err, io.EOF) {
			return nil, r.explain(r.next-1, err)
		}
		err = r.file.Close()
		r.file = nil
		if want := r.table.Files[r.next-1].Checksum; err == nil && r.sum.Sum() != want {
			err = fmt.Errorf("its marker says %s, read %s: curate the run again", want, r.sum.Sum())
		}
		if err != nil {
			return nil, r.explain(r.next-1, err)
		}
	}
}

func (r *rows) open(ctx context.Context) error {
	f := r.table.Files[r.next]
	body, err := lake.ReadFile(ctx, r.store, f)
	if err != nil {
		return err
	}
	if r.file, err = parquetfile.Open(bytes.NewReader(body), f.Size); err != nil {
		return err
	}
	if !slices.Equal(r.file.Columns(), r.table.Columns) {
		return fmt.Errorf("its columns %v are not the marker's %v: curate the run again", r.file.Columns(), r.table.Columns)
	}
	r.sum = checksum.New(r.file.Columns())
	return nil
}

func (r *rows) explain(file int, err error) error {
	return fmt.Errorf("table %s, file %s: %w", r.table.Table, r.table.Files[file].Key, err)
}
