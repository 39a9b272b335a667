// Package parquetfile reads Parquet files as rows, and knows how each column type is stored.
// It uses parquet-go/parquet-go, another library than package parquetwriter, so that reading a
// file back checks the writer too; who only reads does not link the writer.
package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/shared/schema"
)

// Reader reads a file row by row, holding one page of each column.
type Reader struct {
	cols    []schema.Column
	file    *parquet.File
	groups  []parquet.RowGroup
	left    int64 // rows left in the current row group
	cursors []cursor
	err     error
}

// Open reads the footer of a file of size bytes; bytes.NewReader serves one in memory.
func Open(r io.ReaderAt, size int64) (reader *Reader, err error) {
	defer damaged(&err)
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("not a readable Parquet file: %w", err)
	}
	cols, err := columnsOf(file)
	if err != nil {
		return nil, fmt.Errorf("parquet file: %w", err)
	}
	return &Reader{cols: cols, file: file, groups: file.RowGroups(), cursors: make([]cursor, len(cols))}, nil
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

// Next returns the next row, or io.EOF after the last. The row is valid until the next call;
// row is re-used if it is long enough.
func (r *Reader) Next(row schema.Row) (_ schema.Row, err error) {
	if r.err != nil {
		return nil, r.err
	}
	defer func() { r.err = err }()
	defer damaged(&err)
	for r.left == 0 {
		if err := r.nextGroup(); err != nil {
			return nil, err
		}
	}
	if cap(row) < len(r.cols) {
		row = make(schema.Row, len(r.cols))
	}
	row = row[:len(r.cols)]
	for i := range r.cols {
		if err := r.cursors[i].next(&r.cols[i], &row[i]); err != nil {
			return nil, fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
	}
	r.left--
	return row, nil
}

// nextGroup moves to the next row group, or returns io.EOF.
func (r *Reader) nextGroup() error {
	for i := range r.cursors {
		c := &r.cursors[i]
		if err := c.end(); err != nil {
			return fmt.Errorf("parquet file: column %s: %w", r.cols[i].Name, err)
		}
	}
	if len(r.groups) == 0 {
		return io.EOF
	}
	group := r.groups[0]
	r.groups, r.left = r.groups[1:], group.NumRows()
	chunks := group.ColumnChunks()
	if len(chunks) != len(r.cols) {
		return fmt.Errorf("parquet file: row group of %d columns, want %d", len(chunks), len(r.cols))
	}
	for i := range r.cursors {
		c := &r.cursors[i]
		c.pages = chunks[i].Pages()
		if r.file.Root().Columns()[i].Optional() {
			c.emptyLevel = 1
		}
	}
	return nil
}

// Close releases what Next holds.
func (r *Reader) Close() error {
	var errs []error
	for i := range r.cursors {
		errs = append(errs, r.cursors[i].close())
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

// bufferValues is how many values are decoded at a time; values take 24 bytes.
const bufferValues = 1024

// cursor walks the values of one column of a row group.
type cursor struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer []parquet.Value
	ahead  []parquet.Value // of buffer: read, not consumed
	vector []float32
	// emptyLevel is the definition level of an empty list; below it the list itself is NULL.
	emptyLevel int
}

// peek returns the next value without consuming it, or io.EOF at the end of the chunk.
func (c *cursor) peek() (parquet.Value, error) {
	for len(c.ahead) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		if c.buffer == nil {
			c.buffer = make([]parquet.Value, bufferValues)
		}
		n, err := c.values.ReadValues(c.buffer)
		c.ahead = c.buffer[:n]
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			// the page is released once its values are consumed: they refer to its memory
		case errors.Is(err, io.EOF):
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		case err == nil && n == 0:
			return parquet.Value{}, io.ErrNoProgress
		case err != nil:
			return parquet.Value{}, err
		}
	}
	return c.ahead[0], nil
}

// next reads one row's value of the column.
func (c *cursor) next(col *schema.Column, into *schema.Value) error {
	v, err := c.peek()
	if errors.Is(err, io.EOF) {
		return errors.New("it has fewer values than rows: the file is damaged")
	} else if err != nil {
		return err
	}
	c.ahead = c.ahead[1:]
	if col.Kind == schema.Vector {
		return c.nextVector(v, into)
	}
	if v.IsNull() {
		*into = schema.Value{Null: true}
		if !col.Nullable {
			return errors.New("NULL in a column that is NOT NULL")
		}
		return nil
	}
	*into = valueOf(col, v)
	return nil
}

// nextVector reads the elements that follow in the same row (repetition level 1).
func (c *cursor) nextVector(v parquet.Value, into *schema.Value) error {
	c.vector = c.vector[:0]
	if v.IsNull() {
		if v.DefinitionLevel() != c.emptyLevel {
			return errors.New("a vector has a NULL element, or is NULL: write a number for each dimension")
		}
		*into = schema.Value{Vector: c.vector}
		return nil
	}
	for {
		c.vector = append(c.vector, v.Float())
		var err error
		if v, err = c.peek(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil || v.RepetitionLevel() == 0 {
			*into = schema.Value{Vector: c.vector}
			return nil
		}
		if v.IsNull() {
			return errors.New("a vector has a NULL element: write a number for each dimension")
		}
		c.ahead = c.ahead[1:]
	}
}

// end checks that the chunk has no more values than the rows that were read.
func (c *cursor) end() error {
	if c.pages == nil {
		return nil
	}
	if _, err := c.peek(); err == nil {
		return errors.New("it has more values than rows: the file is damaged")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return c.close()
}

func (c *cursor) close() error {
	if c.pages == nil {
		return nil
	}
	parquet.Release(c.page)
	err := c.pages.Close()
	c.pages, c.page, c.values, c.ahead = nil, nil, nil, nil
	return err
}

func valueOf(c *schema.Column, v parquet.Value) schema.Value {
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return schema.Value{Int: 1}
		}
		return schema.Value{}
	case parquet.Int32:
		if c.Kind == schema.Uint { // from elsewhere: ours are never negative
			return schema.Value{Int: int64(v.Uint32())}
		}
		return schema.Value{Int: int64(v.Int32())}
	case parquet.Int64:
		return schema.Value{Int: v.Int64()}
	case parquet.Float:
		return schema.Value{Float: float64(v.Float())}
	case parquet.Double:
		return schema.Value{Float: v.Double()}
	}
	b := v.ByteArray()
	switch {
	case c.Kind == schema.Uint:
		return schema.Value{Int: int64(binary.BigEndian.Uint64(b[len(b)-8:]))}
	case c.Kind == schema.Decimal && c.Precision <= schema.MaxInt64Digits:
		return schema.Value{Int: schema.Unscaled(b).Int64()}
	}
	return schema.Value{Bytes: b}
}
