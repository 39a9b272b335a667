package parquetwriter

import (
	"context"
	"errors"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/klauspost/compress/zstd"
	"github.com/xitongsys/parquet-go/common"
	"github.com/xitongsys/parquet-go/layout"
	"github.com/xitongsys/parquet-go/parquet"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// column buffers one column of a row group.
type column struct {
	schema.Column
	element *parquet.SchemaElement
	at      int      // of the leaf, in the file's schema
	key     string   // the leaf in the library's maps
	path    []string // the same, split

	values  values
	defined []byte // nullable: per row, 0 for NULL
	lengths []int  // vector: elements per row
}

func newColumn(c schema.Column, e *parquet.SchemaElement) *column {
	storage, _ := parquetfile.StorageOf(c) // element has checked it
	return &column{Column: c, element: e, values: valuesOf(c, storage)}
}

// append returns about how many bytes the value takes in memory.
func (c *column) append(v schema.Value) (int, error) {
	if v.Null && !c.Nullable {
		return 0, errors.New("NULL in a column that is NOT NULL")
	}
	if c.Kind == schema.Vector {
		c.lengths = append(c.lengths, len(v.Vector))
		for _, f := range v.Vector {
			if _, err := c.values.append(schema.Value{Float: float64(f)}); err != nil {
				return 0, err
			}
		}
		return 8 + 4*len(v.Vector), nil
	}
	if c.Nullable {
		if v.Null {
			c.defined = append(c.defined, 0)
			return 1, nil
		}
		c.defined = append(c.defined, 1)
	}
	return c.values.append(v)
}

func (c *column) reset() {
	c.values.reset()
	c.defined, c.lengths = c.defined[:0], c.lengths[:0]
}

// page is a range of rows and where its values are.
type page struct {
	rows     int // in the page
	from, to int // of c.values
	entries  int // what the header calls values: NULLs and empty lists count
	nulls    int // rows without a value: NULL, or an empty list
}

// encode builds the column's chunk of a row group.
func (c *column) encode(rows int, compressor *zstd.Encoder) chunk {
	var out chunk
	var dict *dictionary
	if t, ok := c.values.(*texts); ok && t.len() > 0 {
		if dict = dictionaryOf(t); dict != nil {
			out.dictionary = dict.record()
		}
	}
	perPage := c.rowsPerPage(rows)
	var body []byte
	value := 0
	for row := 0; row < rows; row += perPage {
		p := c.page(row, min(row+perPage, rows), value)
		value = p.to
		body = c.levels(body[:0], row, p)
		encoding := parquet.Encoding_PLAIN
		if dict != nil {
			encoding = parquet.Encoding_RLE_DICTIONARY
			body = dict.encode(body, p.from, p.to)
		} else {
			body = c.values.plain(body, p.from, p.to)
		}
		out.add(c, p, int64(row), encoding, body, compressor)
		stats := statistics{empty: p.from == p.to, nulls: int64(p.nulls)}
		if !stats.empty {
			stats.least, stats.greatest = c.values.bounds(p.from, p.to)
		}
		out.stats = append(out.stats, stats)
	}
	return out
}

// rowsPerPage is the same for all pages of a chunk, from the mean size of a row's values.
func (c *column) rowsPerPage(rows int) int {
	size := len(c.values.plain(nil, 0, min(c.values.len(), 1)))
	if t, ok := c.values.(*texts); ok {
		size = len(t.data)/rows + 4
	} else if c.Kind == schema.Vector {
		size = 4 * c.values.len() / rows
	}
	return max(1, min(pageRows, pageBytes/max(1, size)))
}

func (c *column) page(row, end, value int) page {
	p := page{rows: end - row, entries: end - row, from: value, to: value + end - row}
	switch {
	case c.Kind == schema.Vector:
		p.entries, p.to = 0, value
		for _, n := range c.lengths[row:end] {
			p.to += n
			p.entries += max(1, n)
			if n == 0 {
				p.nulls++
			}
		}
	case c.Nullable:
		for _, d := range c.defined[row:end] {
			p.nulls += 1 - int(d)
		}
		p.to -= p.nulls
	}
	return p
}

// levels appends what says which values are NULL, and where each list begins.
func (c *column) levels(dst []byte, row int, p page) []byte {
	if c.Kind != schema.Vector {
		if c.Nullable {
			return levels(dst, c.defined[row:row+p.rows])
		}
		return dst
	}
	repetition, definition := make([]byte, 0, p.entries), make([]byte, 0, p.entries)
	for _, n := range c.lengths[row : row+p.rows] {
		repetition = append(repetition, 0)
		if n == 0 {
			definition = append(definition, 0)
			continue
		}
		definition = append(definition, 1)
		for range n - 1 {
			repetition, definition = append(repetition, 1), append(definition, 1)
		}
	}
	return levels(levels(dst, repetition), definition)
}

// add compresses a page and puts its header before it.
func (out *chunk) add(c *column, p page, row int64, encoding parquet.Encoding, body []byte, compressor *zstd.Encoder) {
	compressed := compressor.EncodeAll(body, nil)
	header := parquet.NewPageHeader()
	header.Type = parquet.PageType_DATA_PAGE
	header.UncompressedPageSize, header.CompressedPageSize = int32(len(body)), int32(len(compressed))
	header.DataPageHeader = &parquet.DataPageHeader{
		NumValues: int32(p.entries), Encoding: encoding,
		DefinitionLevelEncoding: parquet.Encoding_RLE, RepetitionLevelEncoding: parquet.Encoding_RLE,
	}
	serializer := thrift.NewTSerializer()
	serializer.Protocol = thrift.NewTCompactProtocolFactoryConf(&thrift.TConfiguration{}).GetProtocol(serializer.Transport)
	raw, err := serializer.Write(context.Background(), header)
	if err != nil {
		panic(err) // into memory: cannot happen
	}
	nulls := int64(p.nulls)
	out.firstRows = append(out.firstRows, row)
	out.encoding = encoding
	out.pages = append(out.pages, &layout.Page{
		Header: header, RawData: append(raw, compressed...), CompressType: parquet.CompressionCodec_ZSTD,
		Schema: c.element, Path: c.path, NullCount: &nulls,
		// The library's own statistics are wrong for dictionaries and decimals: chunk.describe writes them.
		Info: &common.Tag{OmitStats: true, Encoding: encoding},
	})
}
