package transform

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"time"

	"github.com/millrace/millrace/shared/schema"
)

const microsPerDay = 24 * 60 * 60 * 1_000_000

// Column is the type of the partition values, in whose order partitions are written.
func (b *Bound) Column() schema.Column {
	if b.Name == Identity {
		return b.source
	}
	return schema.Column{Name: b.Folder(), Kind: schema.Int, Bits: 32, Nullable: b.source.Nullable}
}

// Value is a column value's partition value: for Identity itself, else the number that Iceberg stores (years, months or days
// since 1970, or the bucket). NULL stays NULL.
func (b *Bound) Value(v schema.Value) schema.Value {
	if v.Null || b.Name == Identity {
		return v
	}
	if b.Name == Bucket {
		return schema.Value{Int: int64(b.hash(&v)&(1<<31-1)) % int64(b.Buckets)}
	}
	days := v.Int
	if b.source.Kind != schema.Date {
		if days /= microsPerDay; v.Int%microsPerDay < 0 {
			days--
		}
	}
	switch b.Name {
	case Year:
		year, _ := civil(days)
		days = year - 1970
	case Month:
		year, month := civil(days)
		days = (year-1970)*12 + month - 1
	}
	return schema.Value{Int: days}
}

// civil is the year and month of a day since 1970-01-01 in the proleptic Gregorian calendar: Howard Hinnant,
// "chrono-compatible low-level date algorithms", civil_from_days. Years begin in March.
func civil(days int64) (year, month int64) {
	days += 719468
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	month = (5*dayOfYear+2)/153 + 3
	year = yearOfEra + era*400
	if month > 12 {
		return year + 1, month - 12
	}
	return year, month
}

// Text is a partition value as folders and markers show it.
func (b *Bound) Text(v schema.Value) string {
	switch b.Name {
	case Year:
		return fmt.Sprintf("%04d", v.Int+1970)
	case Month:
		at := time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC).AddDate(0, int(v.Int), 0)
		return fmt.Sprintf("%04d-%02d", at.Year(), at.Month())
	case Day:
		return time.Unix(v.Int*24*60*60, 0).UTC().Format(time.DateOnly)
	case Bucket:
		return fmt.Sprint(v.Int)
	}
	return string(schema.AppendText(nil, b.source, v))
}

// hash is that of Iceberg's specification, appendix B: Murmur3, 32 bits, seed 0, of a long's eight bytes, of text and bytes
// as they are, and of a decimal's unscaled value in the fewest bytes.
func (b *Bound) hash(v *schema.Value) uint32 {
	switch c := &b.source; {
	case c.Kind == schema.String, c.Kind == schema.Bytes:
		return murmur3(v.Bytes)
	case c.Kind == schema.Decimal && c.Precision > schema.MaxInt64Digits:
		return murmur3(schema.AppendUnscaled(nil, schema.Unscaled(v.Bytes)))
	case c.Kind == schema.Decimal:
		return murmur3(schema.AppendUnscaled(nil, big.NewInt(v.Int)))
	case c.Kind == schema.Uint && c.Bits == 64: // a decimal(20,0) in Parquet
		return murmur3(schema.AppendUnscaled(nil, new(big.Int).SetUint64(uint64(v.Int))))
	}
	var long [8]byte
	binary.LittleEndian.PutUint64(long[:], uint64(v.Int))
	return murmur3(long[:])
}

// murmur3 is Austin Appleby's MurmurHash3_x86_32 with seed 0.
func murmur3(data []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	var h uint32
	n := len(data)
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * c1
		h ^= bits.RotateLeft32(k, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	var k uint32
	for i := len(data) - 1; i >= 0; i-- {
		k = k<<8 | uint32(data[i])
	}
	h ^= bits.RotateLeft32(k*c1, 15) * c2
	h ^= uint32(n)
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}
