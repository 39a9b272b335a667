package mysqltable

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// declared is a column's type as the server writes it in information_schema.columns.column_type.
type declared struct {
	base     string // decimal, varchar, …
	args     []int  // of the parentheses, if they are numbers
	unsigned bool
	zerofill bool
	charset  string // of text columns; filled by introspection
}

var columnType = regexp.MustCompile(`^([a-z0-9]+)(?:\((.*)\))?( unsigned)?( zerofill)?(?: /\*.*\*/)?$`)

func parseType(text string) (declared, error) {
	m := columnType.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return declared{}, ErrUnsupported
	}
	d := declared{base: m[1], zerofill: m[4] != ""}
	d.unsigned = m[3] != "" || d.zerofill
	for arg := range strings.SplitSeq(m[2], ",") {
		n, err := strconv.Atoi(strings.TrimSpace(arg))
		if err != nil {
			break // the members of an ENUM
		}
		d.args = append(d.args, n)
	}
	return d, nil
}

// arg is the i-th number in the parentheses, or what it means to leave it out.
func (d declared) arg(i, missing int) int {
	if i < len(d.args) {
		return d.args[i]
	}
	return missing
}

// ErrUnsupported says that a column's type cannot be carried exactly.
var ErrUnsupported = errors.New("cannot be carried exactly (docs/types.md lists the types that can): " +
	"name a view in the dataset that leaves the column out or converts it, such as VEC_ToText(column) (MariaDB) or VECTOR_TO_STRING(column) (MySQL) for a vector")

var integerBits = map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}

// Column maps a column to its form in the lake. columnType is the server's own text, such as
// "decimal(10,2)" or "bigint(20) unsigned". docs/types.md is this function as a table.
func Column(name, columnType string, nullable bool) (schema.Column, error) {
	c := schema.Column{Name: name, Nullable: nullable, Source: columnType}
	d, err := parseType(columnType)
	if err != nil {
		return c, fmt.Errorf("column %s: type %s %w", name, columnType, err)
	}
	switch d.base {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint":
		c.Kind, c.Bits = schema.Int, integerBits[d.base]
		if d.unsigned {
			c.Kind = schema.Uint
		}
	case "bit":
		c.Kind, c.Bits = schema.Uint, d.arg(0, 1)
	case "year":
		c.Kind, c.Bits = schema.Int, 16
	case "decimal", "numeric":
		c.Kind, c.Precision, c.Scale = schema.Decimal, d.arg(0, 10), d.arg(1, 0)
	case "float":
		c.Kind = schema.Float
	case "double", "real":
		c.Kind = schema.Double
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json",
		"uuid", "inet4", "inet6":
		c.Kind = schema.String
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		c.Kind = schema.Bytes
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		c.Kind = schema.Bytes // as the server stores it: four bytes SRID, little-endian, then WKB
	case "date":
		c.Kind = schema.Date
	case "datetime":
		c.Kind, c.Fraction = schema.Datetime, d.arg(0, 0)
	case "timestamp":
		c.Kind, c.Fraction = schema.Timestamp, d.arg(0, 0)
	case "time":
		c.Kind, c.Fraction = schema.Time, d.arg(0, 0)
	default:
		return c, fmt.Errorf("column %s: type %s %w", name, columnType, ErrUnsupported)
	}
	return c, nil
}

// isGeometry tells the one kind of bytes that the server does not take for a string.
func (d declared) isGeometry(c schema.Column) bool {
	return c.Kind == schema.Bytes && !strings.HasSuffix(d.base, "binary") && !strings.HasSuffix(d.base, "blob")
}

// mayBeZero tells the kinds in which MySQL stores dates that no calendar has: 0000-00-00, 2020-00-15.
func mayBeZero(k schema.Kind) bool {
	return k == schema.Date || k == schema.Datetime || k == schema.Timestamp
}
