package partition

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/schema"
)

// Blocks grow from the first to the second size: ten thousand partitions of a few rows each
// must not take a large block each.
const (
	firstBlock = 4 << 10
	lastBlock  = 1 << 20
)

// rows buffers rows of one partition as bytes, about a sixth of what schema.Row takes:
// the length of the sort key, the key, the values.
type rows struct {
	cols   []schema.Column
	key    []int // columns to sort by
	blocks [][]byte
	at     []position
	bytes  int // allocated

	sort, row []byte // of the row being added
}

type position struct{ block, offset uint32 }

// add copies a row.
func (r *rows) add(row schema.Row) {
	r.sort = r.sort[:0]
	for _, i := range r.key {
		r.sort = schema.AppendOrdered(r.sort, r.cols[i], row[i])
	}
	r.row = append(binary.AppendUvarint(r.row[:0], uint64(len(r.sort))), r.sort...)
	r.row = appendValues(r.row, r.cols, row)
	size := len(r.row)
	last := len(r.blocks) - 1
	if last < 0 || cap(r.blocks[last])-len(r.blocks[last]) < size {
		r.blocks = append(r.blocks, make([]byte, 0, max(size, min(firstBlock<<len(r.blocks), lastBlock))))
		last++
		r.bytes += cap(r.blocks[last])
	}
	r.at = append(r.at, position{uint32(last), uint32(len(r.blocks[last]))})
	r.bytes += 8
	r.blocks[last] = append(r.blocks[last], r.row...)
}

// sorted yields the rows by key; equal keys, and all rows of a table without one, stay in the
// order they came in. A yielded row is valid until the next.
func (r *rows) sorted() iter.Seq2[schema.Row, error] {
	byKey := func(a, b position) int { return bytes.Compare(r.keyAt(a), r.keyAt(b)) }
	if !slices.IsSortedFunc(r.at, byKey) { // they mostly are: the extractor reads along the key
		slices.SortStableFunc(r.at, byKey)
	}
	return func(yield func(schema.Row, error) bool) {
		row := make(schema.Row, len(r.cols))
		for _, at := range r.at {
			b := r.blocks[at.block][at.offset:]
			keyed, n := binary.Uvarint(b)
			readValues(row, r.cols, b[n+int(keyed):])
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (r *rows) keyAt(at position) []byte {
	b := r.blocks[at.block][at.offset:]
	keyed, n := binary.Uvarint(b)
	return b[n : n+int(keyed)]
}

func appendValues(dst []byte, cols []schema.Column, row schema.Row) []byte {
	for i, v := range row {
		if v.Null {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		switch {
		case holdsBytes(&cols[i]):
			dst = append(binary.AppendUvarint(dst, uint64(len(v.Bytes))), v.Bytes...)
		case cols[i].Kind == schema.Float || cols[i].Kind == schema.Double:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float))
		default:
			dst = binary.AppendVarint(dst, v.Int)
		}
	}
	return dst
}

func readValues(row schema.Row, cols []schema.Column, b []byte) {
	for i := range cols {
		present := b[0] == 1
		b = b[1:]
		row[i] = schema.Value{Null: !present}
		switch {
		case !present:
		case holdsBytes(&cols[i]):
			size, n := binary.Uvarint(b)
			row[i].Bytes = b[n : n+int(size)]
			b = b[n+int(size):]
		case cols[i].Kind == schema.Float || cols[i].Kind == schema.Double:
			row[i].Float = math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
		default:
			var n int
			row[i].Int, n = binary.Varint(b)
			b = b[n:]
		}
	}
}

func holdsBytes(c *schema.Column) bool {
	return c.Kind == schema.String || c.Kind == schema.Bytes || c.Kind == schema.Decimal && c.Precision > schema.MaxInt64Digits
}
