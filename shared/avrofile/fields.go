package avrofile

import (
	"fmt"

	"github.com/hamba/avro/v2"

	"github.com/millrace/millrace/shared/schema"
)

// field is how one field of the record becomes a column's values.
type field struct {
	column   schema.Column
	read     read
	nullAt   int64 // nullable: the union's branch that is null
	branches int64 // of the union; 0: none
	size     int   // of a fixed
	scale    int64 // units of a time or timestamp that make one of the file's: 1000 for milliseconds
	symbols  []string
}

// read is how a value is laid out.
type read uint8

const (
	readLong    read = iota // zig-zag varint
	readBoolean             // a byte
	readFloat
	readDouble
	readText    // length and bytes
	readFixed   // size bytes
	readEnum    // the symbol's number
	readDecimal // length and two's complement, of up to 18 digits
	readFixedDecimal
	readUint64 // length and two's complement, below 2⁶⁴
)

// recordName is that of the records that Writer declares.
const recordName = "millrace.row"

// fieldsOf reads the columns from a record's schema, and names the field that has no place in a table.
func fieldsOf(declared avro.Schema) ([]field, error) {
	record, ok := declared.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("avro schema is %s: a table's rows are records", declared.Type())
	}
	fields := make([]field, len(record.Fields()))
	for i, declared := range record.Fields() {
		f := field{column: schema.Column{Name: declared.Name()}, scale: 1}
		typ := declared.Type()
		if union, ok := typ.(*avro.UnionSchema); ok {
			var err error
			if typ, err = f.union(union); err != nil {
				return nil, err
			}
		}
		if err := f.typed(typ); err != nil {
			return nil, err
		}
		fields[i] = f
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("avro schema: record %s has no fields", record.Name())
	}
	return fields, nil
}

// union allows null and one other type, in any order.
func (f *field) union(u *avro.UnionSchema) (typ avro.Schema, err error) {
	f.branches = int64(len(u.Types()))
	f.nullAt = -1
	for i, branch := range u.Types() {
		if branch.Type() == avro.Null {
			f.column.Nullable, f.nullAt = true, int64(i)
		} else if typ == nil {
			typ = branch
		} else {
			return nil, f.refuse("a union of several types", "write one type, or null and one type")
		}
	}
	if typ == nil {
		return nil, f.refuse("always null", "leave it out")
	}
	return typ, nil
}

func (f *field) refuse(what, remedy string) error {
	return fmt.Errorf("avro field %s is %s, which has no place in a table: %s", f.column.Name, what, remedy)
}

// typed fills in the column's kind.
func (f *field) typed(typ avro.Schema) error {
	c := &f.column
	if ref, ok := typ.(*avro.RefSchema); ok {
		typ = ref.Schema()
	}
	var logical avro.LogicalSchema
	if l, ok := typ.(avro.LogicalTypeSchema); ok {
		logical = l.Logical()
	}
	if d, ok := logical.(*avro.DecimalLogicalSchema); ok {
		return f.decimal(typ, d)
	}
	name := avro.LogicalType("")
	if logical != nil {
		name = logical.Type()
	}
	switch typ.Type() {
	case avro.Boolean:
		c.Kind, c.Bits, f.read = schema.Int, 8, readBoolean
	case avro.Int, avro.Long:
		c.Kind, c.Bits = schema.Int, 32
		if typ.Type() == avro.Long {
			c.Bits = 64
		}
		return f.time(name)
	case avro.Float:
		c.Kind, f.read = schema.Float, readFloat
	case avro.Double:
		c.Kind, f.read = schema.Double, readDouble
	case avro.String: // a uuid is its text
		c.Kind, f.read = schema.String, readText
	case avro.Bytes:
		c.Kind, f.read = schema.Bytes, readText
	case avro.Enum:
		c.Kind, f.read, f.symbols = schema.String, readEnum, typ.(*avro.EnumSchema).Symbols()
	case avro.Fixed:
		if name == avro.Duration {
			return f.refuse("a duration", "write a long of microseconds")
		}
		c.Kind, f.read, f.size = schema.Bytes, readFixed, typ.(*avro.FixedSchema).Size()
	default:
		return f.refuse("of type "+string(typ.Type()), "flatten it into fields of its own, or write its JSON as a string")
	}
	return nil
}

// time reads the logical types of int and long.
func (f *field) time(name avro.LogicalType) error {
	c := &f.column
	switch name {
	case "":
	case avro.Date:
		c.Kind = schema.Date
	case avro.TimestampMillis, avro.TimestampMicros:
		c.Kind = schema.Timestamp
	case avro.LocalTimestampMillis, avro.LocalTimestampMicros:
		c.Kind = schema.Datetime
	case avro.TimeMillis, avro.TimeMicros:
		c.Kind = schema.Time
	default:
		return f.refuse("of logical type "+string(name), "write a long, or a timestamp in milliseconds or microseconds")
	}
	if c.Kind != schema.Int {
		c.Bits = 0
	}
	switch name {
	case avro.TimestampMillis, avro.LocalTimestampMillis, avro.TimeMillis:
		c.Fraction, f.scale = 3, 1000
	case avro.TimestampMicros, avro.LocalTimestampMicros, avro.TimeMicros:
		c.Fraction = 6
	}
	return nil
}

// maxDigits is what the sort keys of decimals have room for, and MySQL's own limit.
const maxDigits = 65

func (f *field) decimal(typ avro.Schema, d *avro.DecimalLogicalSchema) error {
	c := &f.column
	c.Kind, c.Precision, c.Scale = schema.Decimal, d.Precision(), d.Scale()
	if c.Precision > maxDigits {
		return f.refuse(fmt.Sprintf("a decimal of %d digits", c.Precision), fmt.Sprintf("write at most %d digits", maxDigits))
	}
	wide := c.Precision > schema.MaxInt64Digits
	if fixed, ok := typ.(*avro.FixedSchema); ok {
		f.size = fixed.Size()
		if f.read = readFixedDecimal; wide {
			f.read = readFixed
		}
		return nil
	}
	if f.read = readDecimal; wide {
		f.read = readText
	}
	return nil
}
