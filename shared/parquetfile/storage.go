package parquetfile

import (
	"fmt"
	"math/bits"

	"github.com/millrace/millrace/shared/schema"
)

// ColumnsKey holds the exact columns (JSON) in a file's key-value metadata: Parquet's own
// types cannot say varchar(15), datetime(3) or bigint unsigned.
const ColumnsKey = "millrace.columns"

// Physical is how Parquet stores a column's values; the names are the format's.
type Physical string

// Physical types that are written; Boolean is only read.
const (
	Boolean   Physical = "BOOLEAN"
	Int32     Physical = "INT32"
	Int64     Physical = "INT64"
	Float     Physical = "FLOAT"
	Double    Physical = "DOUBLE"
	ByteArray Physical = "BYTE_ARRAY"
	Fixed     Physical = "FIXED_LEN_BYTE_ARRAY"
)

// Storage is a column's physical type; Length is in bytes and only for Fixed.
type Storage struct {
	Physical Physical
	Length   int
}

func (s Storage) String() string {
	if s.Physical == Fixed {
		return fmt.Sprintf("%s(%d)", s.Physical, s.Length)
	}
	return string(s.Physical)
}

// maxUint64Digits: 2⁶⁴−1 has 20 digits.
const maxUint64Digits = 20

// StorageOf is how a column is written. Unsigned integers are stored as the next wider signed
// one, and 64 bits as decimal(20,0): Parquet has UINT_32 and UINT_64, but Athena does not read
// UINT_64, and Trino rejects UINT_32 above 2³¹ as corrupt (trinodb/trino#27274).
func StorageOf(c schema.Column) (Storage, error) {
	switch c.Kind {
	case schema.Int:
		if c.Bits <= 32 {
			return Storage{Physical: Int32}, nil
		}
		return Storage{Physical: Int64}, nil
	case schema.Uint:
		switch {
		case c.Bits < 32:
			return Storage{Physical: Int32}, nil
		case c.Bits < 64:
			return Storage{Physical: Int64}, nil
		}
		return Storage{Fixed, decimalLength(maxUint64Digits)}, nil
	case schema.Decimal:
		switch {
		case c.Precision <= 9:
			return Storage{Physical: Int32}, nil
		case c.Precision <= schema.MaxInt64Digits:
			return Storage{Physical: Int64}, nil
		}
		return Storage{Fixed, decimalLength(c.Precision)}, nil
	case schema.Float, schema.Vector:
		return Storage{Physical: Float}, nil
	case schema.Double:
		return Storage{Physical: Double}, nil
	case schema.String, schema.Bytes:
		return Storage{Physical: ByteArray}, nil
	case schema.Date:
		return Storage{Physical: Int32}, nil
	case schema.Datetime, schema.Timestamp, schema.Time:
		return Storage{Physical: Int64}, nil
	}
	return Storage{}, fmt.Errorf("column %s: kind %q has no Parquet form", c.Name, c.Kind)
}

// decimalLength is the fewest bytes whose two's complement holds every number of that many digits.
func decimalLength(digits int) int {
	// log2(10) = 3.3219…; 33220/10000 is above it, and below the next byte boundary for every width up to 65.
	return (digits*33220/10000+1)/8 + 1
}

// IntegerBits is the width of the signed INTEGER(bits) that a stored integer is declared as.
func IntegerBits(c schema.Column) int {
	n := c.Bits
	if c.Kind == schema.Uint {
		n++ // the sign
	}
	return max(8, 1<<bits.Len(uint(n-1)))
}
