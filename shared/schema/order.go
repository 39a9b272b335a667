package schema

import (
	"encoding/binary"
	"math"
	"math/big"
)

// AppendOrdered appends a value so that comparing the bytes compares the values: NULL first,
// numbers by size, text and bytes by unsigned bytes. These are the orders of Parquet's
// statistics, so files sorted by them let readers skip. Text ends with 00 00 and a 00 inside it
// is written 00 FF, so that appending several columns compares the first one first.
func AppendOrdered(dst []byte, c Column, v Value) []byte {
	if v.Null {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch c.Kind {
	case String, Bytes:
		for _, b := range v.Bytes {
			if dst = append(dst, b); b == 0 {
				dst = append(dst, 0xFF)
			}
		}
		return append(dst, 0, 0)
	case Uint:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int))
	case Float, Double:
		bits := math.Float64bits(v.Float)
		if bits>>63 == 1 {
			return binary.BigEndian.AppendUint64(dst, ^bits)
		}
		return binary.BigEndian.AppendUint64(dst, bits|1<<63)
	case Decimal:
		if c.Precision > MaxInt64Digits {
			n := Unscaled(v.Bytes)
			n.Add(n, new(big.Int).Lsh(big.NewInt(1), 8*wideDecimal-1))
			return append(dst, n.FillBytes(make([]byte, wideDecimal))...)
		}
	}
	return binary.BigEndian.AppendUint64(dst, uint64(v.Int)^1<<63)
}

// wideDecimal bytes hold MySQL's widest decimal: 65 digits take 216 bits and a sign.
const wideDecimal = 28
