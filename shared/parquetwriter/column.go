package parquetwriter

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/xitongsys/parquet-go/common"
	"github.com/xitongsys/parquet-go/layout"
	"github.com/xitongsys/parquet-go/parquet"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// column is one column of a row group: finished pages, and the values of the next.
type column struct {
	schema.Column
	element *parquet.SchemaElement
	at      int      // of the leaf, in the file's schema
	key     string   // the leaf in the library's maps
	path    []string // the same, split
	storage parquetfile.Storage

	pending rowbatch.Column
	lengths []int // vector: elements per row; they are pending.Floats

	pages   []*layout.Page
	stats   []statistics
	encoded int // bytes of the pages and the dictionary
	dictionary
}

func newColumn(c schema.Column) (*column, error) {
	storage, err := parquetfile.StorageOf(c)
	if err != nil {
		return nil, err
	}
	held := rowbatch.Column{Column: c, Form: rowbatch.FormOf(c)}
	if c.Kind == schema.Vector {
		held.Form = rowbatch.Floats
	}
	return &column{Column: c, storage: storage, pending: held}, nil
}

func (c *column) append(v schema.Value) {
	if c.Kind != schema.Vector {
		c.pending.Append(v)
		return
	}
	c.lengths = append(c.lengths, len(v.Vector))
	for _, f := range v.Vector {
		c.pending.Floats = append(c.pending.Floats, float64(f))
	}
}

// size of what is pending, about as PLAIN encodes it.
func (c *column) size() int {
	return len(c.pending.Nulls) + 8*len(c.pending.Ints) + 8*len(c.pending.Floats) + len(c.pending.Data) + 4*len(c.pending.Ends)
}

func (c *column) clearPending() {
	p := &c.pending
	p.Nulls, p.Ints, p.Floats, p.Data, p.Ends = p.Nulls[:0], p.Ints[:0], p.Floats[:0], p.Data[:0], p.Ends[:0]
	c.lengths = c.lengths[:0]
}

// reset begins the next row group.
func (c *column) reset() {
	c.pages, c.stats, c.encoded = nil, c.stats[:0], 0
	c.dictionary.reset()
}

// endPage encodes and compresses the pending values, which are those of rows rows.
func (c *column) endPage(w *worker, firstRow, rows int) error {
	stats := statistics{firstRow: int64(firstRow)}
	entries := rows // what the header calls values: NULLs and empty lists count
	w.body = w.body[:0]
	switch {
	case c.Kind == schema.Vector:
		entries, stats.nulls = c.vectorLevels(w)
	case c.Nullable:
		for _, null := range c.pending.Nulls {
			if null {
				stats.nulls++
			}
		}
		w.body = definitions(w.body, c.pending.Nulls, stats.nulls)
	}
	w.present(&c.pending)
	stats.empty = w.values() == 0
	encoding, err := c.encode(w, &stats)
	if err != nil {
		return err
	}
	c.stats = append(c.stats, stats)
	header := parquet.NewPageHeader()
	header.Type = parquet.PageType_DATA_PAGE
	header.DataPageHeader = &parquet.DataPageHeader{
		NumValues: int32(entries), Encoding: encoding,
		DefinitionLevelEncoding: parquet.Encoding_RLE, RepetitionLevelEncoding: parquet.Encoding_RLE,
	}
	c.pages = append(c.pages, c.page(w, header))
	c.clearPending()
	return nil
}

// page compresses the worker's body and puts its header before it.
func (c *column) page(w *worker, header *parquet.PageHeader) *layout.Page {
	w.compressed = w.zstd.EncodeAll(w.body, w.compressed[:0])
	header.UncompressedPageSize, header.CompressedPageSize = int32(len(w.body)), int32(len(w.compressed))
	serializer := thrift.NewTSerializer()
	serializer.Protocol = thrift.NewTCompactProtocolFactoryConf(&thrift.TConfiguration{}).GetProtocol(serializer.Transport)
	prefix, err := serializer.Write(context.Background(), header)
	if err != nil {
		panic(err) // into memory: cannot happen
	}
	raw := make([]byte, 0, len(prefix)+len(w.compressed))
	raw = append(append(raw, prefix...), w.compressed...)
	c.encoded += len(raw)
	var nulls int64 // the library adds it up; describe writes the true one
	return &layout.Page{
		Header: header, RawData: raw, CompressType: parquet.CompressionCodec_ZSTD,
		Schema: c.element, Path: c.path, NullCount: &nulls,
		// The library's own statistics are wrong for dictionaries and decimals: describe writes them.
		Info: &common.Tag{OmitStats: true, Encoding: parquet.Encoding_PLAIN},
	}
}

// chunkPages are the pages with the dictionary's before them.
func (c *column) chunkPages() []*layout.Page {
	if c.dictionary.entries() == 0 {
		return c.pages
	}
	return append([]*layout.Page{c.dictionaryPage}, c.pages...)
}
