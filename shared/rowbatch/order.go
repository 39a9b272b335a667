package rowbatch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/shared/schema"
)

// Compare orders row i of b against row j of other by the columns key, in the order of schema.AppendOrdered.
func (b *Batch) Compare(key []int, i int, other *Batch, j int) int {
	for _, k := range key {
		if n := b.Columns[k].compare(i, &other.Columns[k], j); n != 0 {
			return n
		}
	}
	return 0
}

func (c *Column) compare(i int, other *Column, j int) int {
	if c.Nullable {
		switch a, b := c.Nulls[i], other.Nulls[j]; {
		case a && b:
			return 0
		case a:
			return -1
		case b:
			return 1
		}
	}
	switch c.Form {
	case Integers:
		if c.Kind == schema.Uint {
			return cmp.Compare(uint64(c.Ints[i]), uint64(other.Ints[j]))
		}
		return cmp.Compare(c.Ints[i], other.Ints[j])
	case Floats:
		return cmp.Compare(orderedFloat(c.Floats[i]), orderedFloat(other.Floats[j]))
	}
	if c.Kind == schema.Decimal {
		return compareUnscaled(c.Text(i), other.Text(j))
	}
	return bytes.Compare(c.Text(i), other.Text(j))
}

// orderedFloat maps a float to an unsigned integer of the same order, −0 before +0.
func orderedFloat(f float64) uint64 {
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

// compareUnscaled orders big-endian two's complement numbers of any lengths.
func compareUnscaled(a, b []byte) int {
	negative := isNegative(a)
	if negative != isNegative(b) {
		if negative {
			return -1
		}
		return 1
	}
	fill := byte(0)
	if negative {
		fill = 0xFF
	}
	for len(a) > len(b) {
		if a[0] != fill {
			return longer(negative)
		}
		a = a[1:]
	}
	for len(b) > len(a) {
		if b[0] != fill {
			return -longer(negative)
		}
		b = b[1:]
	}
	return bytes.Compare(a, b)
}

func isNegative(b []byte) bool { return len(b) > 0 && b[0]&0x80 != 0 }

// longer is the order of the number with more significant bytes.
func longer(negative bool) int {
	if negative {
		return -1
	}
	return 1
}

// Prefix is an integer in the order of the column's i-th value: values with different ones need no further comparison.
func (c *Column) Prefix(i int) uint64 {
	if c.Nullable {
		if c.Nulls[i] {
			return 0
		}
		return c.prefix(i)>>1 | 1<<63
	}
	return c.prefix(i)
}

func (c *Column) prefix(i int) uint64 {
	switch c.Form {
	case Integers:
		if c.Kind == schema.Uint {
			return uint64(c.Ints[i])
		}
		return uint64(c.Ints[i]) ^ 1<<63
	case Floats:
		return orderedFloat(c.Floats[i])
	}
	text := c.Text(i)
	switch {
	case c.Kind == schema.Decimal: // of any length: its bytes are not aligned
		return 0
	case len(text) >= 8:
		return binary.BigEndian.Uint64(text)
	}
	var padded [8]byte
	copy(padded[:], text)
	return binary.BigEndian.Uint64(padded[:])
}
