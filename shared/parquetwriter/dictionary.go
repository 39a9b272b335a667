package parquetwriter

import (
	"encoding/binary"
	"math/bits"

	"github.com/xitongsys/parquet-go/layout"
	"github.com/xitongsys/parquet-go/parquet"
)

// A dictionary pays while it is small and its entries repeat; a reader holds it whole.
// 1 MiB is parquet-mr's limit.
const (
	dictionaryBytes = 1 << 20
	dictionaryShare = 2 // at most one entry for so many values
)

// dictionary numbers distinct values in the order of their first appearance.
type dictionary struct {
	entries []any // of string, as the library wants them
	indexes []int32
	width   int // bits of an index
}

// dictionaryOf returns nil where plain values are the better encoding.
func dictionaryOf(t *texts) *dictionary {
	d := &dictionary{indexes: make([]int32, 0, t.len())}
	numbers := make(map[string]int32)
	size := 0
	for i := range t.len() {
		b := t.at(i)
		n, known := numbers[string(b)]
		if !known {
			n = int32(len(d.entries))
			s := string(b)
			numbers[s] = n
			d.entries = append(d.entries, s)
			if size += len(s) + 4; size > dictionaryBytes || len(d.entries)*dictionaryShare > t.len()+dictionaryShare {
				return nil
			}
		}
		d.indexes = append(d.indexes, n)
	}
	d.width = max(1, bits.Len(uint(len(d.entries)-1)))
	return d
}

// record is the dictionary as the library writes it.
func (d *dictionary) record() *layout.DictRecType {
	r := layout.NewDictRec(parquet.Type_BYTE_ARRAY)
	r.DictSlice = d.entries
	return r
}

// encode appends the indexes [from, to) as a data page's values: width, then bit-packed.
func (d *dictionary) encode(dst []byte, from, to int) []byte {
	return bitPack(append(dst, byte(d.width)), d.indexes[from:to], d.width)
}

// bitPack appends one bit-packed run of Parquet's RLE/bit-packing hybrid, filled up to eights.
func bitPack(dst []byte, v []int32, width int) []byte {
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

// levels appends definition or repetition levels of 0 and 1 with their length before them:
// one repeated run if they are all equal, else one bit-packed run.
func levels(dst []byte, v []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	equal := true
	for _, x := range v {
		if x != v[0] {
			equal = false
			break
		}
	}
	if equal {
		dst = append(binary.AppendUvarint(dst, uint64(len(v))<<1), v[0])
	} else {
		dst = binary.AppendUvarint(dst, uint64((len(v)+7)/8)<<1|1)
		for i := 0; i < len(v); i += 8 {
			var b byte
			for k, x := range v[i:min(i+8, len(v))] {
				b |= x << k
			}
			dst = append(dst, b)
		}
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
