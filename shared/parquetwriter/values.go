package parquetwriter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// values buffers the present values of one column of a row group, in their physical type.
type values interface {
	append(v schema.Value) (bytes int, err error)
	len() int
	// plain appends the values [from, to) in Parquet's PLAIN encoding.
	plain(dst []byte, from, to int) []byte
	// bounds are the least and greatest of [from, to), at least one, as statistics store them.
	bounds(from, to int) (least, greatest []byte)
	// compare orders two bounds.
	compare(a, b []byte) int
	reset()
}

func valuesOf(c schema.Column, storage parquetfile.Storage) values {
	switch storage.Physical {
	case parquetfile.Int32:
		low, high := limits(c)
		return &numbers[int32]{
			of: func(v schema.Value) (int32, error) {
				if v.Int < low || v.Int > high {
					return 0, fmt.Errorf("%d is outside %d … %d, what its type can hold", v.Int, low, high)
				}
				return int32(v.Int), nil
			},
			put: func(dst []byte, n int32) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(n)) },
			get: func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) },
		}
	case parquetfile.Int64:
		low, high := limits(c)
		return &numbers[int64]{
			of: func(v schema.Value) (int64, error) {
				if v.Int < low || v.Int > high {
					return 0, fmt.Errorf("%d is outside %d … %d, what its type can hold", v.Int, low, high)
				}
				return v.Int, nil
			},
			put: func(dst []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(n)) },
			get: func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) },
		}
	case parquetfile.Float:
		return &numbers[float32]{
			of: func(v schema.Value) (float32, error) {
				f := float32(v.Float)
				if float64(f) != v.Float { // NaN too: it has no place in any order, and MySQL has none
					return 0, fmt.Errorf("%v is no 32-bit float", v.Float)
				}
				return f, nil
			},
			put: func(dst []byte, n float32) []byte {
				return binary.LittleEndian.AppendUint32(dst, math.Float32bits(n))
			},
			get: func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
		}
	case parquetfile.Double:
		return &numbers[float64]{
			of: func(v schema.Value) (float64, error) {
				if math.IsNaN(v.Float) {
					return 0, errors.New("NaN has no place in any order")
				}
				return v.Float, nil
			},
			put: func(dst []byte, n float64) []byte {
				return binary.LittleEndian.AppendUint64(dst, math.Float64bits(n))
			},
			get: func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) },
		}
	case parquetfile.Fixed:
		return &bigNumbers{unsigned: c.Kind == schema.Uint, width: storage.Length}
	}
	return &texts{utf8: c.Kind == schema.String}
}

// limits of what a column declares, so that a file never claims int8 over larger values.
func limits(c schema.Column) (low, high int64) {
	switch c.Kind {
	case schema.Int:
		return -1 << (c.Bits - 1), 1<<(c.Bits-1) - 1
	case schema.Uint: // stored as an integer below 64 bits
		return 0, 1<<c.Bits - 1
	case schema.Decimal:
		high = 1
		for range c.Precision {
			high *= 10
		}
		return 1 - high, high - 1
	case schema.Date:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

type numbers[T cmp.Ordered] struct {
	of   func(schema.Value) (T, error)
	put  func(dst []byte, n T) []byte
	get  func([]byte) T
	list []T
}

func (n *numbers[T]) append(v schema.Value) (int, error) {
	x, err := n.of(v)
	n.list = append(n.list, x)
	return 8, err
}

func (n *numbers[T]) len() int { return len(n.list) }

func (n *numbers[T]) plain(dst []byte, from, to int) []byte {
	for _, x := range n.list[from:to] {
		dst = n.put(dst, x)
	}
	return dst
}

func (n *numbers[T]) bounds(from, to int) (least, greatest []byte) {
	list := n.list[from:to]
	low, high := slices.Min(list), slices.Max(list)
	return zeroBound(n.put(nil, low), low, true), zeroBound(n.put(nil, high), high, false)
}

// zeroBound: the format wants −0 as least and +0 as greatest zero of floating-point columns,
// because comparing does not tell them apart.
func zeroBound[T cmp.Ordered](b []byte, x T, least bool) []byte {
	switch any(x).(type) {
	case float32, float64:
		var zero T
		if x == zero {
			b[len(b)-1] &= 0x7F
			if least {
				b[len(b)-1] |= 0x80
			}
		}
	}
	return b
}

func (n *numbers[T]) compare(a, b []byte) int { return cmp.Compare(n.get(a), n.get(b)) }
func (n *numbers[T]) reset()                  { n.list = n.list[:0] }

// bigNumbers are integers of more than 64 bits, big-endian two's complement of one width.
type bigNumbers struct {
	unsigned bool // Value.Int holds a uint64; else Value.Bytes
	width    int
	data     []byte
}

func (n *bigNumbers) append(v schema.Value) (int, error) {
	b := v.Bytes
	if n.unsigned {
		b = binary.BigEndian.AppendUint64([]byte{0}, uint64(v.Int))
	}
	sign := byte(0)
	if len(b) > 0 && b[0]&0x80 != 0 {
		sign = 0xFF
	}
	for len(b) > n.width && b[0] == sign && (b[1]^sign)&0x80 == 0 {
		b = b[1:]
	}
	if len(b) > n.width {
		return 0, fmt.Errorf("a decimal of %d bytes is wider than its type", len(b))
	}
	for range n.width - len(b) {
		n.data = append(n.data, sign)
	}
	n.data = append(n.data, b...)
	return n.width, nil
}

func (n *bigNumbers) len() int { return len(n.data) / n.width }

func (n *bigNumbers) at(i int) []byte { return n.data[i*n.width : (i+1)*n.width] }

func (n *bigNumbers) plain(dst []byte, from, to int) []byte {
	return append(dst, n.data[from*n.width:to*n.width]...)
}

func (n *bigNumbers) bounds(from, to int) (least, greatest []byte) {
	return extremes(n, from, to)
}

// compare is the signed order of big-endian two's complement of equal width.
func (n *bigNumbers) compare(a, b []byte) int {
	if negative := a[0] & 0x80; negative != b[0]&0x80 {
		if negative != 0 {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

func (n *bigNumbers) reset() { n.data = n.data[:0] }

// texts are strings and byte strings.
type texts struct {
	utf8 bool
	data []byte
	ends []int
}

func (t *texts) append(v schema.Value) (int, error) {
	if t.utf8 && !utf8.Valid(v.Bytes) {
		return 0, errors.New("the text is not valid UTF-8")
	}
	t.data = append(t.data, v.Bytes...)
	t.ends = append(t.ends, len(t.data))
	return len(v.Bytes) + 8, nil
}

func (t *texts) len() int { return len(t.ends) }

func (t *texts) at(i int) []byte {
	if i == 0 {
		return t.data[:t.ends[0]]
	}
	return t.data[t.ends[i-1]:t.ends[i]]
}

func (t *texts) plain(dst []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		b := t.at(i)
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(b))), b...)
	}
	return dst
}

func (t *texts) bounds(from, to int) (least, greatest []byte) { return extremes(t, from, to) }

// compare is by unsigned bytes, which for UTF-8 is the order of code points.
func (t *texts) compare(a, b []byte) int { return bytes.Compare(a, b) }

func (t *texts) reset() { t.data, t.ends = t.data[:0], t.ends[:0] }

type ordered interface {
	at(i int) []byte
	compare(a, b []byte) int
}

func extremes(v ordered, from, to int) (least, greatest []byte) {
	for i := from; i < to; i++ {
		b := v.at(i)
		if i == from {
			least, greatest = b, b
		} else if v.compare(b, least) < 0 {
			least = b
		} else if v.compare(b, greatest) > 0 {
			greatest = b
		}
	}
	return bytes.Clone(least), bytes.Clone(greatest)
}
