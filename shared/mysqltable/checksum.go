package mysqltable

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// Checksum is the server's own COUNT(*), Σcrc and Σcrc² of the rows with from ≤ key < to (nil:
// open), as package checksum defines them.
func (t *Table) Checksum(ctx context.Context, from, to []string) (checksum.Sum, error) {
	where, err := t.between(from, to)
	if err != nil {
		return checksum.Sum{}, err
	}
	// The casts keep the sums exact where a server would add in DOUBLE. COUNT(c) differs from
	// COUNT(*) when a row's text is longer than max_allowed_packet: CONCAT_WS is NULL then.
	query := `SELECT COUNT(*), COUNT(c),
		COALESCE(CAST(SUM(CAST(c AS DECIMAL(20,0))) AS CHAR), '0'),
		COALESCE(CAST(SUM(CAST(c*c AS DECIMAL(20,0))) AS CHAR), '0')
		FROM (SELECT CRC32(` + t.serverText() + `) AS c FROM ` + quote(t.Name) + where.sql + `) x`
	var rows, summed int64
	var crc, squares string
	if err := t.snapshot.conn.QueryRowContext(ctx, query, where.args...).Scan(&rows, &summed, &crc, &squares); err != nil {
		return checksum.Sum{}, fmt.Errorf("table %s: checksum: %w", t.Name, t.snapshot.server.explain(err, t.Name))
	}
	if rows != summed {
		return checksum.Sum{}, fmt.Errorf("table %s: checksum: %d rows are longer than the server's max_allowed_packet: raise it above the longest row", t.Name, rows-summed)
	}
	return checksum.Parse(rows, crc, squares)
}

// serverText is the SQL of a row's canonical text. The separator is binary, so that the text is
// bytes and nothing in it is converted.
func (t *Table) serverText() string {
	text := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		text[i] = fmt.Sprintf("IFNULL(%s, X'%02X')", t.columnText(c, t.types[i]), checksum.Null)
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
			name += " + 0" // the number, not its padded text or its bytes
		}
		return "CAST(" + name + " AS CHAR)"
	case schema.Bytes:
		return name
	case schema.Date:
		return t.nullIfZero(name, "DATE_FORMAT("+name+", '%Y-%m-%d')")
	case schema.Datetime, schema.Timestamp:
		// Not CAST: go-mysql-server drops trailing zeros there.
		format := "DATE_FORMAT(" + name + ", '%Y-%m-%d %H:%i:%s')"
		if c.Fraction > 0 {
			format = fmt.Sprintf("LEFT(DATE_FORMAT(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f'), %d)", name, len("2006-01-02 15:04:05.")+c.Fraction)
		}
		return t.nullIfZero(name, format)
	case schema.Time:
		return "CAST(" + name + " AS CHAR)"
	}
	return "CAST(" + name + " AS CHAR CHARACTER SET utf8mb4)"
}

func (t *Table) nullIfZero(name, text string) string {
	if t.zeroDates != NullZeroDates {
		return text
	}
	return fmt.Sprintf("IF(YEAR(%[1]s) = 0 OR MONTH(%[1]s) = 0 OR DAYOFMONTH(%[1]s) = 0, NULL, %[2]s)", name, text)
}
