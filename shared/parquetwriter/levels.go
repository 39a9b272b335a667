package parquetwriter

import "encoding/binary"

// definitions appends which rows have a value: 1, or 0 for NULL.
func definitions(dst []byte, nulls []bool, count int64) []byte {
	if count == 0 || count == int64(len(nulls)) {
		defined := byte(1)
		if count > 0 {
			defined = 0
		}
		return prefixed(dst, func(dst []byte) []byte {
			return append(binary.AppendUvarint(dst, uint64(len(nulls))<<1), defined)
		})
	}
	return prefixed(dst, func(dst []byte) []byte {
		dst = binary.AppendUvarint(dst, uint64((len(nulls)+7)/8)<<1|1)
		for i := 0; i < len(nulls); i += 8 {
			var b byte
			for k, null := range nulls[i:min(i+8, len(nulls))] {
				if !null {
					b |= 1 << k
				}
			}
			dst = append(dst, b)
		}
		return dst
	})
}

// prefixed puts the length before what is appended.
func prefixed(dst []byte, write func([]byte) []byte) []byte {
	start := len(dst)
	dst = write(append(dst, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// vectorLevels appends where each list begins and which are empty. It tells how many entries there are, and empty lists.
func (c *column) vectorLevels(w *worker) (entries int, empty int64) {
	continued, missing := make([]bool, 0, len(c.pending.Floats)), make([]bool, 0, len(c.pending.Floats))
	for _, n := range c.lengths {
		continued, missing = append(continued, true), append(missing, n == 0)
		if n == 0 {
			empty++
		}
		for range n - 1 {
			continued, missing = append(continued, false), append(missing, false)
		}
	}
	// A repetition level of 1 continues a list: the inverse of a definition level.
	first := int64(len(c.lengths))
	w.body = definitions(definitions(w.body, continued, first), missing, empty)
	return len(continued), empty
}
