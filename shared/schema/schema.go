// Package schema is the one in-memory form of a table between MySQL, Avro and Parquet:
// columns with exact types, and rows of plain values without boxing.
package schema

import (
	"fmt"
	"strings"
)

// Kind says which field of a Value holds a column's value and what it means.
// The names are what markers and file metadata carry, so they never change.
type Kind string

const (
	Int       Kind = "int"       // Value.Int; Bits is 8, 16, 24, 32 or 64
	Uint      Kind = "uint"      // Value.Int holds the bits of a uint64; Bits is 1…64
	Decimal   Kind = "decimal"   // unscaled: Value.Int if Precision ≤ 18, else Value.Bytes (big-endian two's complement)
	Float     Kind = "float"     // Value.Float, exactly representable as float32
	Double    Kind = "double"    // Value.Float
	String    Kind = "string"    // Value.Bytes, valid UTF-8
	Bytes     Kind = "bytes"     // Value.Bytes
	Date      Kind = "date"      // Value.Int: days since 1970-01-01
	Datetime  Kind = "datetime"  // Value.Int: microseconds since 1970-01-01 00:00:00 on a clock without zone
	Timestamp Kind = "timestamp" // Value.Int: microseconds since the Unix epoch (an instant, UTC)
	Time      Kind = "time"      // Value.Int: microseconds, signed, may exceed a day (MySQL TIME is a duration)
	Vector    Kind = "vector"    // Value.Vector, never NULL; Parquet list<float32>, model artifacts only
)

// MaxInt64Digits is the widest decimal whose unscaled value always fits an int64.
const MaxInt64Digits = 18

// Column is a column's name and exact type.
type Column struct {
	Name      string `json:"name"`
	Kind      Kind   `json:"kind"`
	Bits      int    `json:"bits,omitempty"`      // Int, Uint
	Precision int    `json:"precision,omitempty"` // Decimal: decimal digits in all
	Scale     int    `json:"scale,omitempty"`     // Decimal: digits after the point
	Fraction  int    `json:"fraction,omitempty"`  // Datetime, Timestamp, Time: fractional second digits, 0…6
	Nullable  bool   `json:"nullable,omitempty"`
	Source    string `json:"source,omitempty"` // the type as the database declares it, for people and for drift checks
}

// Value is one field. Only the member that the column's Kind names is meaningful.
type Value struct {
	Null   bool
	Int    int64
	Float  float64
	Bytes  []byte
	Vector []float32
}

// Row is a row's values in column order. Producers may re-use the backing memory of a row
// and of its Bytes for the next one: keep a Clone if it must live longer.
type Row []Value

// Clone copies a row with everything it refers to.
func (r Row) Clone() Row {
	c := make(Row, len(r))
	for i, v := range r {
		v.Bytes = append([]byte(nil), v.Bytes...)
		v.Vector = append([]float32(nil), v.Vector...)
		c[i] = v
	}
	return c
}

// Index returns the position of the named column, or -1.
func Index(cols []Column, name string) int {
	for i, c := range cols {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// Positions returns the positions of the named columns; it names every missing one.
func Positions(cols []Column, names []string) ([]int, error) {
	at := make([]int, len(names))
	var missing []string
	for i, name := range names {
		if at[i] = Index(cols, name); at[i] < 0 {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("no column %s (there are: %s)", strings.Join(missing, ", "), strings.Join(Names(cols), ", "))
	}
	return at, nil
}

// Names lists the columns' names in order.
func Names(cols []Column) []string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return names
}
