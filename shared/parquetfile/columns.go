package parquetfile

import (
	"encoding/json"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/shared/schema"
)

// columnsOf are the file's columns: from its metadata if millrace wrote it, checked against
// what Parquet itself says, else from Parquet's types, so that files from elsewhere are welcome.
func columnsOf(file *parquet.File) ([]schema.Column, error) {
	nodes := file.Root().Columns()
	found := make([]schema.Column, len(nodes))
	for i, node := range nodes {
		var err error
		if found[i], err = columnOf(node); err != nil {
			return nil, fmt.Errorf("column %s: %w", node.Name(), err)
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
		leaf := leafOf(nodes[i])
		if actual := storageOfType(leaf.Type()); declared != actual || c.Name != found[i].Name || c.Nullable != found[i].Nullable ||
			(c.Kind == schema.Vector) != (found[i].Kind == schema.Vector) ||
			(c.Kind == schema.Decimal && c.Scale != found[i].Scale) {
			return nil, fmt.Errorf("column %s: metadata %s says %s, stored as %s, but the file has column %s, %s, stored as %s: it was altered",
				c.Name, ColumnsKey, c.Kind, declared, found[i].Name, found[i].Kind, actual)
		}
	}
	return cols, nil
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

// columnOf reads a column's exact type from Parquet's own.
func columnOf(node *parquet.Column) (schema.Column, error) {
	c := schema.Column{Name: node.Name(), Nullable: node.Optional()}
	if !node.Leaf() {
		return vectorOf(c, node)
	}
	if node.Repeated() {
		return c, fmt.Errorf("is repeated: only lists of float32 in the three-level form are read")
	}
	logical := node.Type().LogicalType()
	if logical == nil {
		logical = &format.LogicalType{}
	}
	switch t := logical.Value.(type) {
	case *format.DecimalType:
		c.Kind, c.Precision, c.Scale = schema.Decimal, int(t.Precision), int(t.Scale)
		return c, nil
	case *format.IntType:
		c.Kind, c.Bits = schema.Int, int(t.BitWidth)
		if !t.IsSigned {
			c.Kind = schema.Uint
		}
		return c, nil
	case *format.DateType:
		c.Kind = schema.Date
		return c, nil
	case *format.TimestampType:
		if _, micros := t.Unit.Value.(*format.MicroSeconds); !micros {
			return c, fmt.Errorf("is a timestamp of another unit than microseconds: write it as TIMESTAMP(MICROS)")
		}
		c.Kind, c.Fraction = schema.Datetime, 6
		if t.IsAdjustedToUTC {
			c.Kind = schema.Timestamp
		}
		return c, nil
	case *format.StringType, *format.EnumType, *format.JsonType:
		c.Kind = schema.String
		return c, nil
	case nil, *format.BsonType:
	default:
		return c, fmt.Errorf("has Parquet type %s, which is not read", node.Type())
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
	default:
		return c, fmt.Errorf("has Parquet type %s, which is not read", node.Type())
	}
	return c, nil
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
	return c, fmt.Errorf("is nested: only lists of float32 are read")
}
