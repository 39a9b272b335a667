package parquetwriter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/xitongsys/parquet-go/parquet"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// encode appends the worker's values to its body and finds their bounds.
func (c *column) encode(w *worker, stats *statistics) (parquet.Encoding, error) {
	if stats.empty {
		return parquet.Encoding_PLAIN, nil
	}
	switch c.storage.Physical {
	case parquetfile.Int32, parquetfile.Int64:
		return c.encodeIntegers(w, stats)
	case parquetfile.Float, parquetfile.Double:
		return parquet.Encoding_PLAIN, c.encodeFloats(w, stats)
	case parquetfile.Fixed:
		return parquet.Encoding_PLAIN, c.encodeFixed(w, stats)
	}
	return c.encodeTexts(w, stats)
}

func (c *column) encodeIntegers(w *worker, stats *statistics) (parquet.Encoding, error) {
	least, greatest := w.ints[0], w.ints[0]
	for _, v := range w.ints {
		least, greatest = min(least, v), max(greatest, v)
	}
	low, high := limits(c.Column)
	for _, bound := range []int64{least, greatest} {
		if bound < low || bound > high {
			return 0, fmt.Errorf("%d is outside %d … %d, what its type can hold", bound, low, high)
		}
	}
	stats.least, stats.greatest = c.integer(nil, least), c.integer(nil, greatest)
	if c.indexIntegers(w) {
		return parquet.Encoding_RLE_DICTIONARY, nil
	}
	if c.storage.Physical == parquetfile.Int32 {
		for _, v := range w.ints {
			w.body = binary.LittleEndian.AppendUint32(w.body, uint32(v))
		}
	} else {
		for _, v := range w.ints {
			w.body = binary.LittleEndian.AppendUint64(w.body, uint64(v))
		}
	}
	return parquet.Encoding_PLAIN, nil
}

// integer appends one as the column stores it.
func (c *column) integer(dst []byte, v int64) []byte {
	if c.storage.Physical == parquetfile.Int32 {
		return binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(dst, uint64(v))
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

func (c *column) encodeFloats(w *worker, stats *statistics) error {
	single := c.storage.Physical == parquetfile.Float
	least, greatest := w.floats[0], w.floats[0]
	for _, v := range w.floats {
		if math.IsNaN(v) {
			return errors.New("NaN has no place in any order, and SQL has none: write NULL")
		}
		if single && float64(float32(v)) != v {
			return fmt.Errorf("%v is no 32-bit float", v)
		}
		least, greatest = min(least, v), max(greatest, v)
		if single {
			w.body = binary.LittleEndian.AppendUint32(w.body, math.Float32bits(float32(v)))
		} else {
			w.body = binary.LittleEndian.AppendUint64(w.body, math.Float64bits(v))
		}
	}
	// The format wants −0 as least and +0 as greatest zero, because comparing does not tell them apart.
	if least == 0 {
		least = math.Copysign(0, -1)
	}
	if greatest == 0 {
		greatest = math.Copysign(0, 1)
	}
	if single {
		stats.least = binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(least)))
		stats.greatest = binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(greatest)))
		return nil
	}
	stats.least = binary.LittleEndian.AppendUint64(nil, math.Float64bits(least))
	stats.greatest = binary.LittleEndian.AppendUint64(nil, math.Float64bits(greatest))
	return nil
}

// encodeFixed writes integers of more than 64 bits: big-endian two's complement of one width.
func (c *column) encodeFixed(w *worker, stats *statistics) error {
	width, begin := c.storage.Length, len(w.body)
	if c.Kind == schema.Uint {
		for _, v := range w.ints {
			w.body = append(w.body, make([]byte, width-8)...)
			w.body = binary.BigEndian.AppendUint64(w.body, uint64(v))
		}
	} else {
		for i := range w.texts.len() {
			var err error
			if w.body, err = appendWidened(w.body, w.texts.at(i), width); err != nil {
				return err
			}
		}
	}
	for at := begin; at < len(w.body); at += width {
		v := w.body[at : at+width]
		if stats.least == nil || compareSigned(v, stats.least) < 0 {
			stats.least = v
		}
		if stats.greatest == nil || compareSigned(v, stats.greatest) > 0 {
			stats.greatest = v
		}
	}
	stats.least, stats.greatest = bytes.Clone(stats.least), bytes.Clone(stats.greatest)
	return nil
}

func appendWidened(dst, b []byte, width int) ([]byte, error) {
	sign := byte(0)
	if len(b) > 0 && b[0]&0x80 != 0 {
		sign = 0xFF
	}
	for len(b) > width && b[0] == sign && (b[1]^sign)&0x80 == 0 {
		b = b[1:]
	}
	if len(b) > width {
		return nil, fmt.Errorf("a decimal of %d bytes is wider than its type", len(b))
	}
	for range width - len(b) {
		dst = append(dst, sign)
	}
	return append(dst, b...), nil
}

// compareSigned orders big-endian two's complement of equal width.
func compareSigned(a, b []byte) int {
	if negative := a[0] & 0x80; negative != b[0]&0x80 {
		if negative != 0 {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

var errUTF8 = errors.New("the text is not valid UTF-8")

func (c *column) encodeTexts(w *worker, stats *statistics) (parquet.Encoding, error) {
	indexed, err := c.indexTexts(w, stats)
	if err != nil || indexed {
		return parquet.Encoding_RLE_DICTIONARY, err
	}
	t := &w.texts
	least, greatest := t.at(0), t.at(0)
	for i := range t.len() {
		b := t.at(i)
		if c.Kind == schema.String && !utf8.Valid(b) {
			return 0, errUTF8
		}
		if bytes.Compare(b, least) < 0 {
			least = b
		} else if bytes.Compare(b, greatest) > 0 {
			greatest = b
		}
		w.body = append(binary.LittleEndian.AppendUint32(w.body, uint32(len(b))), b...)
	}
	stats.least, stats.greatest = bytes.Clone(least), bytes.Clone(greatest)
	return parquet.Encoding_PLAIN, nil
}

// compareBounds orders two bounds of a column as statistics store them.
func (c *column) compareBounds(a, b []byte) int {
	switch c.storage.Physical {
	case parquetfile.Int32:
		return cmp.Compare(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
	case parquetfile.Int64:
		return cmp.Compare(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case parquetfile.Float:
		return cmp.Compare(math.Float32frombits(binary.LittleEndian.Uint32(a)), math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case parquetfile.Double:
		return cmp.Compare(math.Float64frombits(binary.LittleEndian.Uint64(a)), math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case parquetfile.Fixed:
		return compareSigned(a, b)
	}
	return bytes.Compare(a, b) // of UTF-8, the order of code points
}
