// Package parquetwriter writes rows as Parquet files that are the same bytes for the same rows.
//
// It fills typed column buffers and encodes the pages itself, and leaves schema, row groups and
// footer to xitongsys/parquet-go, whose own struct, CSV, JSON and Arrow writers
// lose null counts, round decimals and drop nulls. Files are read with package parquetfile,
// which is built on another library: what it reads back was not checked by its writer.
package parquetwriter

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/xitongsys/parquet-go/parquet"
	"github.com/xitongsys/parquet-go/writer"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

const (
	// createdBy is what parquet-mr and others parse to know whose statistics they may trust.
	createdBy = "millrace version 1 (build 1)"

	// A row group's pages are held encoded until it is complete, because a column's pages lie together in the file.
	// 8 MiB are half a million rows of ratings: enough for an engine's unit of work, and little beside the sorter's buffer.
	rowGroupBytes = 8 << 20
	rowGroupRows  = 1 << 20

	// A page is the unit that statistics let a reader skip: parquet-mr's defaults. All columns end their pages at the same row.
	pageBytes = 1 << 20
	pageRows  = 20_000
	// A table of many columns ends its pages earlier.
	pagesBytes = 8 << 20

	// Below this many values the columns of a page are not worth a goroutine each.
	parallelValues = 10_000
)

// Writer appends rows to one file. It is not safe for concurrent use.
type Writer struct {
	columns []*column
	exact   string // the columns as JSON
	sorted  []*parquet.SortingColumn
	file    *writer.ParquetWriter
	workers []*worker
	written int64 // bytes of finished row groups
	rows    int   // of the row group, those of finished pages
	pending int   // rows of the page
}

// New writes a file with these columns to w. Memory: one row group, at most 8 MiB, and a page of each column, which are as
// much together.
func New(w io.Writer, cols []schema.Column) (*Writer, error) {
	if len(cols) == 0 {
		return nil, fmt.Errorf("parquet: a file needs at least one column")
	}
	exact, err := json.Marshal(cols)
	if err != nil {
		return nil, fmt.Errorf("parquet columns: %w", err)
	}
	out := &Writer{exact: string(exact)}
	for _, c := range cols {
		if strings.Contains(c.Name, "\x01") {
			return nil, fmt.Errorf("column %q: the byte 0x01 in a name cannot be written to Parquet: rename the column", c.Name)
		}
		column, err := newColumn(c)
		if err != nil {
			return nil, err
		}
		out.columns = append(out.columns, column)
	}
	for range min(runtime.GOMAXPROCS(0), len(cols)) {
		worker, err := newWorker()
		if err != nil {
			return nil, err
		}
		out.workers = append(out.workers, worker)
	}
	return out, out.Begin(w)
}

// Begin starts another file with the same columns, after Close, in the memory of the one before.
func (w *Writer) Begin(out io.Writer) error {
	elements, err := declare(w.columns)
	if err != nil {
		return err
	}
	file, err := writer.NewParquetWriterFromWriter(out, elements, 1)
	if err != nil {
		return fmt.Errorf("parquet header: %w", err)
	}
	by := createdBy
	file.Footer.CreatedBy = &by
	file.Footer.Version = 2 // the types of INTEGER, DECIMAL and TIMESTAMP columns
	file.Footer.KeyValueMetadata = []*parquet.KeyValue{{Key: parquetfile.ColumnsKey, Value: &w.exact}}
	file.CompressionType = parquet.CompressionCodec_ZSTD
	for range w.columns {
		order := parquet.NewColumnOrder()
		order.TYPE_ORDER = parquet.NewTypeDefinedOrder()
		file.Footer.ColumnOrders = append(file.Footer.ColumnOrders, order)
	}
	nameColumns(file.SchemaHandler, w.columns)
	w.file, w.written = file, 0
	return nil
}

// SortedBy declares that the rows come in the order of these columns, NULLs first. Whoever calls it keeps that order.
func (w *Writer) SortedBy(key []int) {
	for _, i := range key {
		w.sorted = append(w.sorted, &parquet.SortingColumn{ColumnIdx: int32(i), NullsFirst: true})
	}
}

// Append adds one row; it copies what it needs of it. A value that its column cannot hold
// exactly is an error that names the column, here or from a later call, and the file must then be thrown away.
func (w *Writer) Append(row schema.Row) error {
	if len(row) != len(w.columns) {
		return fmt.Errorf("parquet: row of %d values for %d columns", len(row), len(w.columns))
	}
	for i, c := range w.columns {
		if row[i].Null && !c.Nullable {
			return fmt.Errorf("parquet: column %s: NULL in a column that is NOT NULL", c.Name)
		}
		c.append(row[i])
	}
	w.pending++
	return w.endFullPage()
}

// AppendRange adds the rows [from, to) of a batch of the same columns, as Append does.
func (w *Writer) AppendRange(b *rowbatch.Batch, from, to int) error {
	for from < to {
		end := from + w.room(b, from, to)
		for i, c := range w.columns {
			c.pending.AppendRange(&b.Columns[i], from, end)
		}
		w.pending += end - from
		from = end
		if err := w.endFullPage(); err != nil {
			return err
		}
	}
	return nil
}

// room is how many of the rows [from, to) the page takes before it is full.
func (w *Writer) room(b *rowbatch.Batch, from, to int) int {
	to = min(to, from+pageRows-w.pending)
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Form != rowbatch.Texts {
			continue
		}
		start := uint32(0)
		if from > 0 {
			start = c.Ends[from-1]
		}
		left := uint32(max(1, pageBytes-len(w.columns[i].pending.Data)))
		if c.Ends[to-1]-start <= left {
			continue
		}
		last, _ := slices.BinarySearch(c.Ends[from:to], start+left)
		to = from + last + 1
	}
	return to - from
}

func (w *Writer) endFullPage() error {
	full, all := w.pending >= pageRows, 0
	for _, c := range w.columns {
		size := c.size()
		all += size
		full = full || size >= pageBytes
	}
	if full || all >= pagesBytes {
		return w.endPage()
	}
	return nil
}

// Size is about how many bytes the file has so far, those of the unfinished page as they are in memory.
func (w *Writer) Size() int64 {
	size := w.written + int64(w.groupSize())
	for _, c := range w.columns {
		size += int64(c.size())
	}
	return size
}

func (w *Writer) groupSize() (size int) {
	for _, c := range w.columns {
		size += c.encoded + len(c.dictionary.data)
	}
	return size
}

// endPage encodes what the columns hold as one page each.
func (w *Writer) endPage() error {
	if w.pending == 0 {
		return nil
	}
	workers := w.workers
	if w.pending*len(w.columns) < parallelValues {
		workers = workers[:1]
	}
	var group errgroup.Group
	next := make(chan *column, len(w.columns))
	for _, c := range w.columns {
		next <- c
	}
	close(next)
	for _, worker := range workers {
		group.Go(func() error {
			for c := range next {
				if err := c.endPage(worker, w.rows, w.pending); err != nil {
					return fmt.Errorf("parquet: column %s: %w", c.Name, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	w.rows += w.pending
	w.pending = 0
	if w.rows >= rowGroupRows || w.groupSize() >= rowGroupBytes {
		return w.flush()
	}
	return nil
}

// Close writes the last row group and the footer; it does not close the underlying writer.
func (w *Writer) Close() error {
	if err := w.endPage(); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.WriteStop(); err != nil {
		return fmt.Errorf("parquet footer: %w", err)
	}
	return nil
}

// flush writes the finished pages as one row group and corrects what the library records of it.
func (w *Writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	for _, c := range w.columns {
		c.finishDictionary(w.workers[0])
		w.file.PagesMapBuf[c.key] = c.chunkPages()
	}
	w.file.NumRows = int64(w.rows)
	first := len(w.file.ColumnIndexes)
	if err := w.file.Flush(true); err != nil {
		return fmt.Errorf("parquet row group: %w", err)
	}
	w.file.Footer.NumRows += int64(w.rows) // Flush counts only rows that it encoded itself
	group := w.file.Footer.RowGroups[len(w.file.Footer.RowGroups)-1]
	group.SortingColumns = w.sorted
	for i, c := range w.columns {
		c.describe(group.Columns[i].MetaData)
		w.file.ColumnIndexes[first+i] = c.columnIndex()
		for page, location := range w.file.OffsetIndexes[first+i].PageLocations {
			location.FirstRowIndex = c.stats[page].firstRow
		}
		c.reset()
	}
	w.written, w.rows = w.file.Offset, 0
	return nil
}

// declare makes the columns' schema elements, under placeholder names. The library renames them, so each file has its own.
func declare(columns []*column) ([]*parquet.SchemaElement, error) {
	children := int32(len(columns))
	elements := []*parquet.SchemaElement{{Name: "Schema", NumChildren: &children}}
	for i, c := range columns {
		leaf, err := element(c.Column)
		if err != nil {
			return nil, err
		}
		leaf.Name = fmt.Sprintf("Column%d", i)
		if c.Kind == schema.Vector {
			elements = append(elements, listOf(leaf)...)
		} else {
			elements = append(elements, leaf)
		}
		c.element, c.at = leaf, len(elements)-1
	}
	return elements, nil
}
