package catalog

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/millrace/millrace/shared/schema"
)

// columnsOf declares columns as Hive types. Hive's names are lower case; Athena finds the files'
// columns whatever their case. A source column called dt is hidden by the partition of that name.
func columnsOf(cols []schema.Column) []types.Column {
	var out []types.Column
	for _, c := range cols {
		if strings.EqualFold(c.Name, partitionKey) {
			continue
		}
		column := types.Column{Name: aws.String(strings.ToLower(c.Name)), Type: aws.String(Type(c))}
		if c.Source != "" {
			column.Comment = aws.String(c.Source)
		}
		out = append(out, column)
	}
	return out
}

// maxHiveDigits is the widest decimal that Hive and Athena know.
const maxHiveDigits = 38

// Type is a column's type in Hive and Athena, for the way parquetwriter stores it.
func Type(c schema.Column) string {
	switch c.Kind {
	case schema.Int:
		return integer(c.Bits)
	case schema.Uint:
		if c.Bits == 64 {
			return "decimal(20,0)"
		}
		return integer(c.Bits + 1) // the sign
	case schema.Decimal:
		if c.Precision > maxHiveDigits {
			return "binary" // unscaled, big-endian: wider than any SQL decimal of Athena
		}
		return fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
	case schema.Float:
		return "float"
	case schema.Double:
		return "double"
	case schema.String:
		return "string"
	case schema.Bytes:
		return "binary"
	case schema.Date:
		return "date"
	case schema.Datetime, schema.Timestamp:
		return "timestamp"
	case schema.Time: // microseconds: Hive has no type for a duration
		return "bigint"
	case schema.Vector:
		return "array<float>"
	}
	return "binary"
}

func integer(bits int) string {
	switch {
	case bits <= 8:
		return "tinyint"
	case bits <= 16:
		return "smallint"
	case bits <= 32:
		return "int"
	}
	return "bigint"
}
