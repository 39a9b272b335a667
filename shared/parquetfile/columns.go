package parquetfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/shared/schema"
)

// leaf is a column and how its values become the batch's.
type leaf struct {
	column schema.Column
	unit   unit
	uuid   bool // 16 bytes, shown as text
}

// leavesOf are the file's columns: from its metadata if millrace wrote it, checked against
// what Parquet itself says, else from Parquet's types, so that files from elsewhere are welcome.
func leavesOf(file *parquet.File) ([]leaf, error) {
	if err := misread(file); err != nil {
		return nil, err
	}
	nodes := file.Root().Columns()
	found := make([]leaf, len(nodes))
	for i, node := range nodes {
		var err error
		if found[i], err = leafColumn(node); err != nil {
			return nil, fmt.Errorf("column %s %w", node.Name(), err)
		}
	}
	text, ok := file.Lookup(ColumnsKey)
	if !ok {
		return found, nil
	}
	var cols []schema.Column
	if err := json.Unmarshal([]byte(text), &cols); err != nil {
		return nil, fmt.Errorf("metadata %s: %w", ColumnsKey, err)
	}
	if len(cols) != len(found) {
		return nil, fmt.Errorf("metadata %s has %d columns, the file %d", ColumnsKey, len(cols), len(found))
	}
	for i, c := range cols {
		declared, err := StorageOf(c)
		if err != nil {
			return nil, err
		}
		was := found[i].column
		if actual := storageOfType(leafOf(nodes[i]).Type()); declared != actual || c.Name != was.Name || c.Nullable != was.Nullable ||
			(c.Kind == schema.Vector) != (was.Kind == schema.Vector) || found[i].unit != micros || found[i].uuid ||
			(c.Kind == schema.Decimal && c.Scale != was.Scale) {
			return nil, fmt.Errorf("column %s: metadata %s says %s, stored as %s, but the file has column %s, %s, stored as %s: it was altered",
				c.Name, ColumnsKey, c.Kind, declared, was.Name, was.Kind, actual)
		}
		found[i].column = c
	}
	return found, nil
}

// misread names what the library would take for something else without an error.
func misread(file *parquet.File) error {
	for _, element := range file.Metadata().Schema {
		if _, half := element.LogicalType.Value.(*format.Float16Type); half { // it gives the two bytes
			return fmt.Errorf("column %s is a FLOAT16, which is not read: write FLOAT", element.Name)
		}
	}
	for _, group := range file.Metadata().RowGroups {
		for i := range group.Columns {
			// Of pages of PyArrow's, LZ4_RAW comes out as other values, without an error (parquet-go 0.32).
			if c := &group.Columns[i].MetaData; c.Codec == format.Lz4 || c.Codec == format.Lz4Raw || c.Codec == format.LZO {
				return fmt.Errorf("column %s is compressed by %s, which is not read: write zstd, snappy, gzip or none", strings.Join(c.PathInSchema, "."), c.Codec)
			}
		}
	}
	return nil
}

// leafOf is the column itself, or the element of a list.
func leafOf(c *parquet.Column) *parquet.Column {
	for !c.Leaf() {
		c = c.Columns()[0]
	}
	return c
}

func storageOfType(t parquet.Type) Storage {
	switch t.Kind() {
	case parquet.Boolean:
		return Storage{Physical: Boolean}
	case parquet.Int32:
		return Storage{Physical: Int32}
	case parquet.Int64:
		return Storage{Physical: Int64}
	case parquet.Float:
		return Storage{Physical: Float}
	case parquet.Double:
		return Storage{Physical: Double}
	case parquet.FixedLenByteArray:
		return Storage{Fixed, t.Length()}
	}
	return Storage{Physical: ByteArray}
}

// maxDigits is what the sort keys of decimals have room for, and MySQL's own limit.
const maxDigits = 65

// leafColumn reads a column's exact type from Parquet's own. Its error continues "column x ".
func leafColumn(node *parquet.Column) (l leaf, err error) {
	l.column = schema.Column{Name: node.Name(), Nullable: node.Optional()}
	c := &l.column
	if !node.Leaf() {
		*c, err = vectorOf(*c, node)
		return l, err
	}
	if node.Repeated() {
		return l, errors.New("is repeated: only lists of float32 in the three-level form are read; write one value per row")
	}
	logical := node.Type().LogicalType()
	if logical == nil {
		logical = &format.LogicalType{}
	}
	switch t := logical.Value.(type) {
	case *format.DecimalType:
		if c.Kind, c.Precision, c.Scale = schema.Decimal, int(t.Precision), int(t.Scale); c.Precision > maxDigits {
			return l, fmt.Errorf("is a decimal of %d digits: write at most %d", c.Precision, maxDigits)
		}
		return l, nil
	case *format.IntType:
		c.Kind, c.Bits = schema.Int, int(t.BitWidth)
		if !t.IsSigned {
			c.Kind = schema.Uint
		}
		return l, nil
	case *format.DateType:
		c.Kind = schema.Date
		return l, nil
	case *format.TimestampType:
		c.Kind = schema.Datetime
		if t.IsAdjustedToUTC {
			c.Kind = schema.Timestamp
		}
		l.unit, c.Fraction = unitOf(t.Unit)
		return l, nil
	case *format.TimeType:
		c.Kind = schema.Time
		l.unit, c.Fraction = unitOf(t.Unit)
		return l, nil
	case *format.StringType, *format.EnumType, *format.JsonType:
		c.Kind = schema.String
		return l, nil
	case *format.UUIDType:
		c.Kind, l.uuid = schema.String, true
		return l, nil
	case nil, *format.BsonType:
	default:
		return l, fmt.Errorf("has Parquet type %s, which is not read: write its text as a STRING", node.Type())
	}
	if converted := node.Type().ConvertedType(); converted != nil && *converted == deprecated.Interval {
		return l, errors.New("is an INTERVAL, which is not read: write a number of microseconds")
	}
	switch node.Type().Kind() {
	case parquet.Boolean:
		c.Kind, c.Bits = schema.Int, 8
	case parquet.Int32:
		c.Kind, c.Bits = schema.Int, 32
	case parquet.Int64:
		c.Kind, c.Bits = schema.Int, 64
	case parquet.Float:
		c.Kind = schema.Float
	case parquet.Double:
		c.Kind = schema.Double
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.Kind = schema.Bytes
	case parquet.Int96:
		return l, errors.New("is an INT96, an old form of timestamps that is not read: write TIMESTAMP(MICROS) " +
			"(Spark: spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS)")
	default:
		return l, fmt.Errorf("has Parquet type %s, which is not read: write its text as a STRING", node.Type())
	}
	return l, nil
}

// unitOf tells what a time counts, and how many digits after the second it can have.
func unitOf(declared format.TimeUnit) (u unit, fraction int) {
	switch declared.Value.(type) {
	case *format.MilliSeconds:
		return millis, 3
	case *format.NanoSeconds:
		return nanos, 6
	}
	return micros, 6
}

// vectorOf accepts a list of float32, whatever its writer calls the inner levels, and whether
// or not it declares list and elements optional; a NULL among them fails when it is read.
func vectorOf(c schema.Column, node *parquet.Column) (schema.Column, error) {
	if levels := node.Columns(); len(levels) == 1 && levels[0].Repeated() {
		inner := levels[0]
		if elements := inner.Columns(); len(elements) == 1 && elements[0].Leaf() && !elements[0].Repeated() {
			inner = elements[0]
		}
		if inner.Leaf() && inner.Type().Kind() == parquet.Float {
			c.Kind, c.Nullable = schema.Vector, false
			return c, nil
		}
	}
	return c, errors.New("is nested, and only lists of float32 are read: flatten it into columns of its own, or write its JSON as a STRING")
}
