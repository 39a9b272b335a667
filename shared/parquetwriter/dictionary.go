package parquetwriter

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/xitongsys/parquet-go/layout"
	"github.com/xitongsys/parquet-go/parquet"

	"github.com/millrace/millrace/shared/schema"
)

const (
	// A dictionary pays while it is small and its entries repeat; a reader holds it whole. 1 MiB is parquet-mr's limit.
	dictionaryBytes = 1 << 20
	dictionaryShare = 2 // at most one entry for so many values of the first page
	// Numbers are small themselves: of more distinct ones the plain values compress as well, without the search.
	dictionaryNumbers = 4096
)

// dictionary numbers the distinct values of a row group in the order of their first appearance. Pages refer to it until it
// is full; those after it are plain.
type dictionary struct {
	closed         bool
	data           []byte   // the entries in PLAIN encoding: the dictionary's page
	ends           []uint32 // of texts, in data
	numbers        []int64
	slots          []int32 // hash table: entry + 1
	seen           []int32 // texts: the last page that had the entry, + 1
	dictionaryPage *layout.Page
	seed           maphash.Seed
}

func (d *dictionary) entries() int { return len(d.ends) + len(d.numbers) }

func (d *dictionary) reset() {
	d.closed, d.dictionaryPage = false, nil
	d.data, d.ends, d.numbers, d.seen = d.data[:0], d.ends[:0], d.numbers[:0], d.seen[:0]
	clear(d.slots)
}

// forget is for a first page whose values do not repeat: the row group has no dictionary.
func (d *dictionary) forget() {
	d.reset()
	d.closed = true
}

// grow keeps the table at most half full.
func (d *dictionary) grow(hash func(entry int) uint64) {
	if 2*(d.entries()+1) <= len(d.slots) {
		return
	}
	d.slots = make([]int32, max(64, 2*len(d.slots)))
	for entry := range d.entries() {
		at := hash(entry) & uint64(len(d.slots)-1)
		for d.slots[at] != 0 {
			at = (at + 1) & uint64(len(d.slots)-1)
		}
		d.slots[at] = int32(entry) + 1
	}
}

// mix is the finalizer of splitmix64.
func mix(v int64) uint64 {
	x := uint64(v)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// indexIntegers appends the values as indexes of the dictionary, unless they are better plain.
func (c *column) indexIntegers(w *worker) bool {
	d := &c.dictionary
	if d.closed {
		return false
	}
	first := d.entries() == 0
	indexes := w.indexes[:0]
	hash := func(entry int) uint64 { return mix(d.numbers[entry]) }
	for _, v := range w.ints {
		if n := len(indexes); n > 0 && d.numbers[indexes[n-1]] == v {
			indexes = append(indexes, indexes[n-1])
			continue
		}
		d.grow(hash)
		at := mix(v) & uint64(len(d.slots)-1)
		for d.slots[at] != 0 && d.numbers[d.slots[at]-1] != v {
			at = (at + 1) & uint64(len(d.slots)-1)
		}
		if d.slots[at] == 0 {
			if full := len(d.numbers) >= dictionaryNumbers; full || first && len(d.numbers)*dictionaryShare > len(w.ints) {
				c.closeDictionary(first)
				return false
			}
			d.numbers = append(d.numbers, v)
			d.data = c.integer(d.data, v)
			d.slots[at] = int32(len(d.numbers))
		}
		indexes = append(indexes, d.slots[at]-1)
	}
	w.indexes = indexes
	c.finishIndexes(w)
	return true
}

// closeDictionary makes this page and those after it plain; pages before it need the entries.
func (c *column) closeDictionary(first bool) {
	if first {
		c.dictionary.forget()
	}
	c.dictionary.closed = true
}

// indexTexts is indexIntegers for texts, and checks each entry once. Bounds are those of the entries that the page has.
func (c *column) indexTexts(w *worker, stats *statistics) (bool, error) {
	d := &c.dictionary
	if d.closed {
		return false, nil
	}
	if d.slots == nil {
		d.seed = maphash.MakeSeed() // what it changes, the order of the slots, is in no file
	}
	first := d.entries() == 0
	page := int32(len(c.pages)) + 1
	indexes := w.indexes[:0]
	hash := func(entry int) uint64 { return maphash.Bytes(d.seed, d.text(int32(entry))) }
	for i := range w.texts.len() {
		text := w.texts.at(i)
		if n := len(indexes); n > 0 && bytes.Equal(d.text(indexes[n-1]), text) {
			indexes = append(indexes, indexes[n-1])
			continue
		}
		d.grow(hash)
		at := maphash.Bytes(d.seed, text) & uint64(len(d.slots)-1)
		for d.slots[at] != 0 && !bytes.Equal(d.text(d.slots[at]-1), text) {
			at = (at + 1) & uint64(len(d.slots)-1)
		}
		if d.slots[at] == 0 {
			if full := len(d.data)+len(text) >= dictionaryBytes; full || first && len(d.ends)*dictionaryShare > w.texts.len() {
				c.closeDictionary(first)
				return false, nil
			}
			if c.Kind == schema.String && !utf8.Valid(text) {
				return false, errUTF8
			}
			d.data = append(binary.LittleEndian.AppendUint32(d.data, uint32(len(text))), text...)
			d.ends = append(d.ends, uint32(len(d.data)))
			d.seen = append(d.seen, 0)
			d.slots[at] = int32(len(d.ends))
		}
		entry := d.slots[at] - 1
		if d.seen[entry] != page {
			d.seen[entry] = page
			if stats.least == nil || bytes.Compare(text, stats.least) < 0 {
				stats.least = text
			}
			if stats.greatest == nil || bytes.Compare(text, stats.greatest) > 0 {
				stats.greatest = text
			}
		}
		indexes = append(indexes, entry)
	}
	stats.least, stats.greatest = bytes.Clone(stats.least), bytes.Clone(stats.greatest)
	w.indexes = indexes
	c.finishIndexes(w)
	return true, nil
}

func (d *dictionary) text(entry int32) []byte {
	start := uint32(4) // the length before the text
	if entry > 0 {
		start += d.ends[entry-1]
	}
	return d.data[start:d.ends[entry]]
}

// finishIndexes appends width and indexes to the body.
func (c *column) finishIndexes(w *worker) {
	width := max(1, bits.Len(uint(c.dictionary.entries()-1)))
	w.body = bitPack(append(w.body, byte(width)), w.indexes, width)
}

// finishDictionary makes the dictionary's page.
func (c *column) finishDictionary(w *worker) {
	d := &c.dictionary
	if d.entries() == 0 {
		return
	}
	w.body = append(w.body[:0], d.data...)
	header := parquet.NewPageHeader()
	header.Type = parquet.PageType_DICTIONARY_PAGE
	header.DictionaryPageHeader = &parquet.DictionaryPageHeader{NumValues: int32(d.entries()), Encoding: parquet.Encoding_PLAIN}
	d.dictionaryPage = c.page(w, header)
	// The library counts a chunk's values by this header, after the page's bytes are made.
	header.DataPageHeader = &parquet.DataPageHeader{}
}

// bitPack appends indexes in Parquet's RLE/bit-packing hybrid: one repeated run if they are all equal, else one bit-packed
// run, filled up to eights.
func bitPack(dst []byte, v []int32, width int) []byte {
	if !slices.ContainsFunc(v, func(x int32) bool { return x != v[0] }) {
		dst = binary.AppendUvarint(dst, uint64(len(v))<<1)
		for x, n := v[0], 0; n < (width+7)/8; n++ {
			dst = append(dst, byte(x))
			x >>= 8
		}
		return dst
	}
	groups := (len(v) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	var pending uint64
	filled := 0
	for _, x := range v {
		pending |= uint64(uint32(x)) << filled
		for filled += width; filled >= 8; filled -= 8 {
			dst = append(dst, byte(pending))
			pending >>= 8
		}
	}
	for ; len(dst) < end; pending >>= 8 {
		dst = append(dst, byte(pending))
	}
	return dst
}
