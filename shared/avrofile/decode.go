package avrofile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/rowbatch"
)

var errShort = errors.New("it ends before its last row: the file is damaged")

// decode appends n rows from data to b, and returns what is left of data.
func decode(b *rowbatch.Batch, fields []field, data []byte, n int) ([]byte, error) {
	for range n {
		for i := range fields {
			f, c := &fields[i], &b.Columns[i]
			if f.branches > 0 {
				branch, size := varint(data)
				if size <= 0 || branch < 0 || branch >= f.branches {
					return nil, fmt.Errorf("avro field %s: %w", f.column.Name, errShort)
				}
				data = data[size:]
				if f.column.Nullable {
					null := branch == f.nullAt
					c.Nulls = append(c.Nulls, null)
					if null {
						blank(c)
						continue
					}
				}
			}
			var err error
			if data, err = f.decode(c, data); err != nil {
				return nil, fmt.Errorf("avro field %s: %w", f.column.Name, err)
			}
		}
	}
	b.SetLen(b.Len() + n)
	return data, nil
}

// blank fills a NULL's place.
func blank(c *rowbatch.Column) {
	switch c.Form {
	case rowbatch.Integers:
		c.Ints = append(c.Ints, 0)
	case rowbatch.Floats:
		c.Floats = append(c.Floats, 0)
	default:
		c.Ends = append(c.Ends, uint32(len(c.Data)))
	}
}

// varint is binary.Varint with its common case first: most are one byte.
func varint(data []byte) (int64, int) {
	if len(data) > 0 && data[0] < 0x80 {
		return int64(data[0]>>1) ^ -int64(data[0]&1), 1
	}
	return binary.Varint(data)
}

func (f *field) decode(c *rowbatch.Column, data []byte) ([]byte, error) {
	switch f.read {
	case readLong:
		v, size := varint(data)
		if size <= 0 {
			return nil, errShort
		}
		if f.scale != 1 {
			if v > math.MaxInt64/f.scale || v < math.MinInt64/f.scale {
				return nil, fmt.Errorf("%d milliseconds are more than 64 bits of microseconds", v)
			}
			v *= f.scale
		}
		c.Ints = append(c.Ints, v)
		return data[size:], nil
	case readText, readDecimal, readUint64:
		length, size := varint(data)
		if size <= 0 || length < 0 || length > int64(len(data)-size) {
			return nil, errShort
		}
		text := data[size : size+int(length)]
		data = data[size+int(length):]
		if f.read == readText {
			c.Data = append(c.Data, text...)
			c.Ends = append(c.Ends, uint32(len(c.Data)))
			return data, nil
		}
		v, err := unscaled(text, f.read == readUint64)
		c.Ints = append(c.Ints, v)
		return data, err
	case readBoolean:
		if len(data) < 1 || data[0] > 1 {
			return nil, errShort
		}
		c.Ints = append(c.Ints, int64(data[0]))
		return data[1:], nil
	case readFloat:
		if len(data) < 4 {
			return nil, errShort
		}
		c.Floats = append(c.Floats, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))))
		return data[4:], nil
	case readDouble:
		if len(data) < 8 {
			return nil, errShort
		}
		c.Floats = append(c.Floats, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		return data[8:], nil
	case readEnum:
		n, size := varint(data)
		if size <= 0 || n < 0 || n >= int64(len(f.symbols)) {
			return nil, errShort
		}
		c.Data = append(c.Data, f.symbols[n]...)
		c.Ends = append(c.Ends, uint32(len(c.Data)))
		return data[size:], nil
	}
	if len(data) < f.size {
		return nil, errShort
	}
	if f.read == readFixed {
		c.Data = append(c.Data, data[:f.size]...)
		c.Ends = append(c.Ends, uint32(len(c.Data)))
		return data[f.size:], nil
	}
	v, err := unscaled(data[:f.size], false)
	c.Ints = append(c.Ints, v)
	return data[f.size:], err
}

// unscaled reads big-endian two's complement of any length into 64 bits; positive, they may all be digits if unsigned.
func unscaled(b []byte, unsigned bool) (int64, error) {
	if len(b) == 8 && !unsigned {
		return int64(binary.BigEndian.Uint64(b)), nil
	}
	negative := len(b) > 0 && b[0]&0x80 != 0
	fill := byte(0)
	if negative {
		fill = 0xFF
	}
	for len(b) > 8 {
		if b[0] != fill {
			return 0, errors.New("a decimal has more digits than its type")
		}
		b = b[1:]
	}
	v := -int64(fill & 1)
	for _, x := range b {
		v = v<<8 | int64(x)
	}
	if negative && unsigned || !unsigned && (v < 0) != negative {
		return 0, errors.New("a decimal has more digits than its type")
	}
	return v, nil
}
