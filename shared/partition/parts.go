package partition

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/transform"
)

// parts numbers the partitions in the order in which they are met.
type parts struct {
	by      []transform.Bound
	numbers map[string]uint32
	all     []part
	key     []byte
	last    []byte // the key of the row before
	number  uint32 // its partition
}

// part is one combination of partition values.
type part struct {
	order  []byte // sorts partitions by value
	folder string
	values []lake.PartitionValue
}

func newParts(by []transform.Bound) *parts {
	p := &parts{by: by, numbers: map[string]uint32{}}
	if len(by) == 0 {
		p.all = []part{{}}
	}
	return p
}

// of appends the partitions of a batch's rows to numbers.
func (p *parts) of(b *rowbatch.Batch, numbers []uint32) []uint32 {
	for row := range b.Len() {
		p.key = p.key[:0]
		for i := range p.by {
			p.key = p.appendKey(p.key, &p.by[i], &b.Columns[p.by[i].At], row)
		}
		// Neighbours often are of one partition, which saves the search.
		if !bytes.Equal(p.key, p.last) || len(p.all) == 0 {
			number, known := p.numbers[string(p.key)]
			if !known {
				number = p.add(b, row)
				p.numbers[string(p.key)] = number
			}
			p.number = number
			p.last = append(p.last[:0], p.key...)
		}
		numbers = append(numbers, p.number)
	}
	return numbers
}

// appendKey appends what tells partition values apart.
func (p *parts) appendKey(dst []byte, by *transform.Bound, c *rowbatch.Column, row int) []byte {
	if c.Null(row) {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch {
	case by.Name != transform.Identity:
		return binary.LittleEndian.AppendUint64(dst, uint64(by.Value(c.Value(row)).Int))
	case c.Form == rowbatch.Integers:
		return binary.LittleEndian.AppendUint64(dst, uint64(c.Ints[row]))
	case c.Form == rowbatch.Floats:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.Floats[row]))
	}
	text := c.Text(row)
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func (p *parts) add(b *rowbatch.Batch, row int) uint32 {
	var n part
	for i := range p.by {
		by := &p.by[i]
		v := by.Value(b.Columns[by.At].Value(row))
		n.order = schema.AppendOrdered(n.order, by.Column(), v)
		value, text := lake.PartitionValue{Column: by.Folder()}, ""
		if !v.Null {
			text = by.Text(v)
			value.Value = &text
		}
		n.folder += lake.Partition(value.Column, text, v.Null)
		n.values = append(n.values, value)
	}
	p.all = append(p.all, n)
	return uint32(len(p.all) - 1)
}

// sorted are the partitions in the order of their values.
func (p *parts) sorted() []uint32 {
	numbers := make([]uint32, len(p.all))
	for i := range numbers {
		numbers[i] = uint32(i)
	}
	slices.SortFunc(numbers, func(a, b uint32) int { return bytes.Compare(p.all[a].order, p.all[b].order) })
	return numbers
}
