// Package parquetwriter writes rows as Parquet files that are the same bytes for the same rows.
//
// It fills typed column buffers and encodes the pages itself, and leaves schema, headers,
// row groups and footer to xitongsys/parquet-go, whose own struct, CSV, JSON and Arrow writers
// lose null counts, round decimals and drop nulls. Files are read with package parquetfile,
// which is built on another library: what it reads back was not checked by its writer.
package parquetwriter

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/xitongsys/parquet-go/parquet"
	"github.com/xitongsys/parquet-go/writer"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

const (
	// createdBy is what parquet-mr and others parse to know whose statistics they may trust.
	createdBy = "millrace version 1 (build 1)"

	// A row group is held in memory until it is complete, and a reader holds one too.
	rowGroupBytes = 32 << 20
	rowGroupRows  = 1 << 20

	// A page is the unit that statistics let a reader skip. parquet-mr's defaults.
	pageBytes = 1 << 20
	pageRows  = 20_000
)

// Writer appends rows to one file. It is not safe for concurrent use.
type Writer struct {
	columns []*column
	file    *writer.ParquetWriter
	zstd    *zstd.Encoder
	rows    int
	bytes   int
}

// New writes a file with these columns to w. Memory: one row group, about 32 MiB, and its pages.
func New(w io.Writer, cols []schema.Column) (*Writer, error) {
	if len(cols) == 0 {
		return nil, fmt.Errorf("parquet: a file needs at least one column")
	}
	exact, err := json.Marshal(cols)
	if err != nil {
		return nil, fmt.Errorf("parquet columns: %w", err)
	}
	elements, columns, err := elementsOf(cols)
	if err != nil {
		return nil, err
	}
	// One goroutine, so that the same rows always give the same bytes.
	file, err := writer.NewParquetWriterFromWriter(w, elements, 1)
	if err != nil {
		return nil, fmt.Errorf("parquet header: %w", err)
	}
	by, columnsJSON := createdBy, string(exact)
	file.Footer.CreatedBy = &by
	file.Footer.Version = 2 // the types of INTEGER, DECIMAL and TIMESTAMP columns
	file.Footer.KeyValueMetadata = []*parquet.KeyValue{{Key: parquetfile.ColumnsKey, Value: &columnsJSON}}
	// zstd against snappy on the ratings and products of the demo: see docs/decisions.md.
	file.CompressionType = parquet.CompressionCodec_ZSTD
	for range columns {
		order := parquet.NewColumnOrder()
		order.TYPE_ORDER = parquet.NewTypeDefinedOrder()
		file.Footer.ColumnOrders = append(file.Footer.ColumnOrders, order)
	}
	nameColumns(file.SchemaHandler, columns)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return &Writer{columns: columns, file: file, zstd: encoder}, nil
}

// Append adds one row; it copies what it needs of it. A value that its column cannot hold
// exactly is an error that names the column, and the file must then be thrown away.
func (w *Writer) Append(row schema.Row) error {
	if len(row) != len(w.columns) {
		return fmt.Errorf("parquet: row of %d values for %d columns", len(row), len(w.columns))
	}
	for i, c := range w.columns {
		n, err := c.append(row[i])
		if err != nil {
			return fmt.Errorf("parquet: column %s: %w", c.Name, err)
		}
		w.bytes += n
	}
	w.rows++
	if w.rows < rowGroupRows && w.bytes < rowGroupBytes {
		return nil
	}
	return w.flush()
}

// Close writes the last row group and the footer; it does not close the underlying writer.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.WriteStop(); err != nil {
		return fmt.Errorf("parquet footer: %w", err)
	}
	return w.zstd.Close()
}

// flush writes the buffered rows as one row group and corrects what the library records of it.
func (w *Writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	chunks := make([]chunk, len(w.columns))
	for i, c := range w.columns {
		chunks[i] = c.encode(w.rows, w.zstd)
		w.file.PagesMapBuf[c.key] = chunks[i].pages
		if chunks[i].dictionary != nil {
			w.file.DictRecs[c.key] = chunks[i].dictionary
		}
	}
	w.file.NumRows = int64(w.rows)
	first := len(w.file.ColumnIndexes)
	if err := w.file.Flush(true); err != nil {
		return fmt.Errorf("parquet row group: %w", err)
	}
	w.file.Footer.NumRows += int64(w.rows) // Flush counts only rows that it encoded itself
	group := w.file.Footer.RowGroups[len(w.file.Footer.RowGroups)-1]
	for i, c := range w.columns {
		chunks[i].describe(c, group.Columns[i].MetaData)
		w.file.ColumnIndexes[first+i] = chunks[i].columnIndex(c)
		for page, location := range w.file.OffsetIndexes[first+i].PageLocations {
			location.FirstRowIndex = chunks[i].firstRows[page]
		}
		c.reset()
	}
	w.rows, w.bytes = 0, 0
	return nil
}

// elementsOf declares the columns to the library, under placeholder names.
func elementsOf(cols []schema.Column) ([]*parquet.SchemaElement, []*column, error) {
	children := int32(len(cols))
	elements := []*parquet.SchemaElement{{Name: "Schema", NumChildren: &children}}
	columns := make([]*column, len(cols))
	for i, c := range cols {
		if strings.Contains(c.Name, "\x01") {
			return nil, nil, fmt.Errorf("column %q: the byte 0x01 in a name cannot be written to Parquet: rename the column", c.Name)
		}
		leaf, err := element(c)
		if err != nil {
			return nil, nil, err
		}
		leaf.Name = fmt.Sprintf("Column%d", i)
		if c.Kind == schema.Vector {
			elements = append(elements, listOf(leaf)...)
		} else {
			elements = append(elements, leaf)
		}
		columns[i] = newColumn(c, leaf)
		columns[i].at = len(elements) - 1
	}
	return elements, columns, nil
}
