// Package parquetfile reads Parquet files as rows, and knows how each column type is stored.
// It uses parquet-go/parquet-go, another library than package parquetwriter, so that reading a
// file back checks the writer too; who only reads does not link the writer.
package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// Reader reads a file, in rows or batches, holding one page of each column.
type Reader struct {
	cols   []schema.Column
	file   *parquet.File
	group  int   // next row group
	last   int   // the one before which reading ends
	left   int64 // rows left in the current row group
	chunks []chunk
	lists  []*vectors // of columns of kind Vector; nil for others
	ahead  *rowbatch.Batch
	at     int // row of ahead
	err    error
}

// Open reads the footer of a file of size bytes; bytes.NewReader serves one in memory.
func Open(r io.ReaderAt, size int64) (reader *Reader, err error) {
	defer damaged(&err)
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return nil, fmt.Errorf("not a readable Parquet file: %w", err)
	}
	return newReader(file)
}

// readBuffer is read at once of each column; a page's data does not pass through it.
const readBuffer = 16 << 10

func newReader(file *parquet.File) (*Reader, error) {
	leaves, err := leavesOf(file)
	if err != nil {
		return nil, fmt.Errorf("parquet file: %w", err)
	}
	r := &Reader{file: file, last: len(file.RowGroups()), chunks: make([]chunk, len(leaves)), lists: make([]*vectors, len(leaves))}
	for i, leaf := range leaves {
		r.cols = append(r.cols, leaf.column)
		r.chunks[i].leaf = leaf
		if leaf.column.Kind == schema.Vector {
			r.lists[i] = &vectors{}
		}
	}
	return r, nil
}

// Columns are the file's columns.
func (r *Reader) Columns() []schema.Column { return r.cols }

// Rows is the number of rows that the file's footer declares.
func (r *Reader) Rows() int64 { return r.file.NumRows() }

// Metadata is the file's key-value metadata.
func (r *Reader) Metadata() map[string]string {
	metadata := map[string]string{}
	for _, entry := range r.file.Metadata().KeyValueMetadata {
		metadata[entry.Key] = entry.Value
	}
	return metadata
}

// NextBatch appends up to rows rows to b, which has this file's columns and none of kind Vector. It returns io.EOF, and adds
// nothing, after the last row.
func (r *Reader) NextBatch(b *rowbatch.Batch, rows int) (err error) {
	if r.err != nil {
		return r.err
	}
	defer func() { r.err = err }()
	defer damaged(&err)
	for r.left == 0 {
		if err := r.nextGroup(); err != nil {
			return err
		}
	}
	n := int(min(int64(rows), r.left))
	for i := range r.chunks { // no further than a page, so that long texts do not add up
		if r.lists[i] != nil {
			continue
		}
		if err := r.chunks[i].ready(); err != nil {
			return fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
		n = min(n, r.chunks[i].left)
	}
	for i := range b.Columns {
		if r.lists[i] != nil {
			continue
		}
		if err := r.chunks[i].read(&b.Columns[i], n); err != nil {
			return fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
	}
	b.SetLen(b.Len() + n)
	r.left -= int64(n)
	return nil
}

// nextRows is how many rows Next decodes at a time.
const nextRows = 1024

// Next returns the next row, or io.EOF after the last. The row is valid until the next call;
// row is re-used if it is long enough.
func (r *Reader) Next(row schema.Row) (_ schema.Row, err error) {
	if r.ahead == nil {
		r.ahead = rowbatch.New(r.cols)
	}
	if r.at == r.ahead.Len() {
		r.ahead.Reset()
		r.at = 0
		if err := r.NextBatch(r.ahead, nextRows); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	defer func() { r.err = err }()
	defer damaged(&err)
	row = row[:0]
	for i, list := range r.lists {
		if list == nil {
			row = append(row, r.ahead.Columns[i].Value(r.at))
			continue
		}
		row = append(row, schema.Value{})
		if err := list.next(&row[i]); err != nil {
			return nil, fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
	}
	r.at++
	return row, nil
}

// nextGroup moves to the next row group, or returns io.EOF.
func (r *Reader) nextGroup() error {
	for i := range r.chunks {
		err := r.chunks[i].end()
		if list := r.lists[i]; list != nil {
			err = list.end()
		}
		if err != nil {
			return fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
	}
	if r.group >= r.last {
		return io.EOF
	}
	group := r.file.RowGroups()[r.group]
	r.group++
	r.left = group.NumRows()
	chunks := group.ColumnChunks()
	if len(chunks) != len(r.cols) {
		return fmt.Errorf("parquet file: row group of %d columns, want %d", len(chunks), len(r.cols))
	}
	for i := range r.chunks {
		if list := r.lists[i]; list != nil {
			list.pages = chunks[i].Pages()
			if r.file.Root().Columns()[i].Optional() {
				list.emptyLevel = 1
			}
			continue
		}
		r.chunks[i].open(chunks[i].Pages())
	}
	return nil
}

// Close releases what Next holds.
func (r *Reader) Close() error {
	var errs []error
	for i := range r.chunks {
		errs = append(errs, r.chunks[i].close())
		if list := r.lists[i]; list != nil {
			errs = append(errs, list.close())
		}
	}
	r.err = errors.Join(errors.New("parquet file: closed"), r.err)
	return errors.Join(errs...)
}

// damaged turns the library's panics on impossible content into an error.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet file: it is damaged: %v", p)
	}
}
