package parquetwriter

import (
	"bytes"
	"unicode/utf8"

	"github.com/xitongsys/parquet-go/parquet"

	"github.com/millrace/millrace/shared/schema"
)

const (
	// Bounds in a column index may be shortened; parquet-mr's length.
	indexBoundBytes = 64
	// Bounds of a whole chunk must be exact: longer ones are left out, as parquet-mr does.
	chunkBoundBytes = 4096
)

// statistics of one page.
type statistics struct {
	firstRow        int64
	least, greatest []byte
	empty           bool // not a single value: no bounds
	nulls           int64
}

// describe replaces the statistics and encodings that the library recorded of the column's chunk.
func (c *column) describe(meta *parquet.ColumnMetaData) {
	meta.Encodings = []parquet.Encoding{parquet.Encoding_RLE, parquet.Encoding_PLAIN}
	if c.dictionary.entries() > 0 {
		meta.Encodings = append(meta.Encodings, parquet.Encoding_RLE_DICTIONARY)
	}
	total := statistics{empty: true}
	for _, p := range c.stats {
		total.nulls += p.nulls
		if p.empty {
			continue
		}
		if total.empty || c.compareBounds(p.least, total.least) < 0 {
			total.least = p.least
		}
		if total.empty || c.compareBounds(p.greatest, total.greatest) > 0 {
			total.greatest = p.greatest
		}
		total.empty = false
	}
	// Only the newer fields: the deprecated min and max have signed byte order.
	meta.Statistics = &parquet.Statistics{NullCount: &total.nulls}
	if !total.empty && len(total.least)+len(total.greatest) <= chunkBoundBytes {
		meta.Statistics.MinValue, meta.Statistics.MaxValue = nonNil(total.least), nonNil(total.greatest)
	}
}

// columnIndex lets readers skip pages.
func (c *column) columnIndex() *parquet.ColumnIndex {
	index := parquet.NewColumnIndex()
	ascending, descending := true, true
	var before *statistics
	for i := range c.stats {
		p := &c.stats[i]
		index.NullPages = append(index.NullPages, p.empty)
		index.NullCounts = append(index.NullCounts, p.nulls)
		if p.empty {
			index.MinValues, index.MaxValues = append(index.MinValues, []byte{}), append(index.MaxValues, []byte{})
			continue
		}
		index.MinValues = append(index.MinValues, shortLeast(c.Kind, p.least))
		index.MaxValues = append(index.MaxValues, shortGreatest(c.Kind, p.greatest))
		if before != nil {
			ascending = ascending && c.compareBounds(before.least, p.least) <= 0 && c.compareBounds(before.greatest, p.greatest) <= 0
			descending = descending && c.compareBounds(before.least, p.least) >= 0 && c.compareBounds(before.greatest, p.greatest) >= 0
		}
		before = p
	}
	switch {
	case ascending:
		index.BoundaryOrder = parquet.BoundaryOrder_ASCENDING
	case descending:
		index.BoundaryOrder = parquet.BoundaryOrder_DESCENDING
	default:
		index.BoundaryOrder = parquet.BoundaryOrder_UNORDERED
	}
	return index
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// shortLeast cuts a long lower bound: a prefix sorts before what it begins.
func shortLeast(kind schema.Kind, b []byte) []byte {
	if len(b) <= indexBoundBytes || kind != schema.String && kind != schema.Bytes {
		return nonNil(b)
	}
	return b[:cut(kind, b)]
}

// shortGreatest cuts a long upper bound and raises its last character, so that it sorts after
// everything with that prefix; it stays whole if no character can be raised.
func shortGreatest(kind schema.Kind, b []byte) []byte {
	if len(b) <= indexBoundBytes || kind != schema.String && kind != schema.Bytes {
		return nonNil(b)
	}
	short := bytes.Clone(b[:cut(kind, b)])
	for len(short) > 0 {
		if kind == schema.Bytes {
			last := len(short) - 1
			if short[last] < 0xFF {
				short[last]++
				return short
			}
			short = short[:last]
			continue
		}
		r, size := utf8.DecodeLastRune(short)
		short = short[:len(short)-size]
		if r++; r == 0xD800 { // surrogates are no characters
			r = 0xE000
		}
		if r <= utf8.MaxRune {
			return utf8.AppendRune(short, r)
		}
	}
	return b
}

// cut is where to shorten b without splitting a character.
func cut(kind schema.Kind, b []byte) int {
	at := indexBoundBytes
	for kind == schema.String && !utf8.RuneStart(b[at]) {
		at--
	}
	return at
}
