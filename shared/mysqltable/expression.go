package mysqltable

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// serverText is the SQL of a row's canonical text. What the server does anyway is not asked
// for: each CAST and IFNULL costs as much as the CRC (measured: 1.2 s with all of them, 0.7 s
// without those that change nothing).
func (t *Table) serverText() string {
	text := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		text[i] = t.columnText(c, t.types[i])
		if c.Nullable {
			text[i] = fmt.Sprintf("IFNULL(%s, X'%02X')", text[i], checksum.Null)
		}
	}
	return fmt.Sprintf("CONCAT_WS(X'%02X', %s)", checksum.Separator, strings.Join(text, ", "))
}

// columnText is the SQL of schema.AppendText for one column.
func (t *Table) columnText(c schema.Column, d declared) string {
	name := quote(c.Name)
	switch c.Kind {
	case schema.Float, schema.Double:
		// FLOAT prints six digits and FLOAT(7,4) a fixed number; adding 0e0 makes it a DOUBLE
		// without declared digits, and -0 a 0.
		return "CAST(" + name + " + 0e0 AS CHAR)"
	case schema.Int, schema.Uint, schema.Decimal:
		if d.zerofill || d.base == "bit" || d.base == "year" {
			return "(" + name + " + 0)" // the number, not its padded text or its bytes
		}
		return name
	case schema.Bytes:
		if d.isGeometry(c) {
			return "UNHEX(HEX(" + name + "))" // its bytes: not every function takes a geometry
		}
		return name
	case schema.Date, schema.Datetime, schema.Timestamp:
		if t.snapshot.WithConsistentSnapshot {
			return t.nullIfZero(name, name)
		}
		return t.nullIfZero(name, clockText(name, c))
	case schema.Time:
		if t.snapshot.WithConsistentSnapshot {
			return name
		}
		return "CAST(" + name + " AS CHAR)"
	}
	if d.charset == "utf8mb4" && d.base != "enum" && d.base != "set" {
		return name
	}
	return selected(c, d, "CAST("+name+" AS CHAR CHARACTER SET utf8mb4)")
}

// selected is the SQL of a column's value as it is read: plain is that of most columns. What has no
// Unicode form the server replaces by a question mark; here it must not pass for one.
func selected(c schema.Column, d declared, plain string) string {
	name := quote(c.Name)
	switch d.charset {
	case "", "utf8mb4", "utf8mb3", "utf8", "latin1": // all have one, or are invalid UTF-8 as they are
		return plain
	}
	utf8 := "CAST(" + name + " AS CHAR CHARACTER SET utf8mb4)"
	return fmt.Sprintf("IF(LOCATE('?', %[1]s) > 0 AND CAST(CONVERT(%[1]s USING %[3]s) AS BINARY) <> CAST(%[2]s AS BINARY), X'FF', CAST(%[1]s AS BINARY))",
		utf8, name, d.charset)
}

// clockText is for go-mysql-server, which prints a time without its trailing zeros and is known by
// having no consistent snapshots. MySQL and MariaDB need no such help, and it would cost them half
// as much as the whole row (measured: 0.55 s for 2 M rows). It has as many digits after the second
// as the column; %f always has six.
func clockText(name string, c schema.Column) string {
	switch {
	case c.Kind == schema.Date:
		return "DATE_FORMAT(" + name + ", '%Y-%m-%d')"
	case c.Fraction == 0:
		return "DATE_FORMAT(" + name + ", '%Y-%m-%d %H:%i:%s')"
	case c.Fraction == 6:
		return "DATE_FORMAT(" + name + ", '%Y-%m-%d %H:%i:%s.%f')"
	}
	return fmt.Sprintf("LEFT(DATE_FORMAT(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f'), %d)", name, len("2006-01-02 15:04:05.")+c.Fraction)
}

func (t *Table) nullIfZero(name, text string) string {
	if t.options.ZeroDates != NullZeroDates {
		return text
	}
	return fmt.Sprintf("IF(YEAR(%[1]s) = 0 OR MONTH(%[1]s) = 0 OR DAYOFMONTH(%[1]s) = 0, NULL, %[2]s)", name, text)
}
