package mysqltable

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/shared/schema"
)

// decode turns a row of the driver into values; an error names the column and the row's key.
func (t *Table) decode(row schema.Row, values []driver.Value) error {
	for i, value := range values {
		if err := t.decodeColumn(row, i, value); err != nil {
			return fmt.Errorf("column %s, %s: %w", t.Columns[i].Name, t.rowName(values), err)
		}
	}
	return nil
}

func (t *Table) decodeColumn(row schema.Row, i int, value driver.Value) error {
	c := &t.Columns[i]
	if value == nil {
		row[i] = schema.Value{Null: true}
		return nil
	}
	v, err := decodeValue(c, t.types[i].base, value)
	if errors.Is(err, errZeroDate) && t.options.ZeroDates == NullZeroDates {
		t.zeroes[c.Name]++
		v, err = schema.Value{Null: true}, nil
	}
	row[i] = v
	return err
}

func decodeValue(c *schema.Column, base string, value driver.Value) (schema.Value, error) {
	switch c.Kind {
	case schema.Int:
		return decodeInt(value)
	case schema.Uint:
		if bits, ok := value.([]byte); ok && base == "bit" {
			return decodeBits(bits)
		}
		return decodeUint(value)
	case schema.Float, schema.Double:
		return decodeFloat(value)
	}
	text, ok := value.([]byte)
	if !ok {
		return schema.Value{}, unexpected(value)
	}
	switch c.Kind {
	case schema.Decimal:
		return schema.ParseDecimal(*c, text)
	case schema.String:
		if !utf8.Valid(text) {
			return schema.Value{}, fmt.Errorf("its text is not valid UTF-8 (%s): repair the row, or make the column binary", excerpt(text))
		}
		return schema.Value{Bytes: text}, nil
	case schema.Bytes:
		return schema.Value{Bytes: text}, nil
	case schema.Date:
		days, err := parseDate(text)
		return schema.Value{Int: days}, err
	case schema.Datetime, schema.Timestamp:
		micros, err := parseDatetime(text)
		return schema.Value{Int: micros}, err
	case schema.Time:
		micros, err := parseTime(text)
		return schema.Value{Int: micros}, err
	}
	return schema.Value{}, unexpected(value)
}

func decodeInt(value driver.Value) (schema.Value, error) {
	n, ok := value.(int64)
	if !ok {
		return schema.Value{}, unexpected(value)
	}
	return schema.Value{Int: n}, nil
}

// decodeUint: the driver gives what an int64 cannot hold as decimal text.
func decodeUint(value driver.Value) (schema.Value, error) {
	switch n := value.(type) {
	case int64:
		return schema.Value{Int: n}, nil
	case uint64:
		return schema.Value{Int: int64(n)}, nil
	case []byte:
		u, err := strconv.ParseUint(string(n), 10, 64)
		return schema.Value{Int: int64(u)}, err
	}
	return schema.Value{}, unexpected(value)
}

// decodeBits reads BIT(n): big-endian, as many bytes as needed.
func decodeBits(bits []byte) (schema.Value, error) {
	if len(bits) > 8 {
		return schema.Value{}, fmt.Errorf("%d bytes are too many for a BIT", len(bits))
	}
	var n uint64
	for _, b := range bits {
		n = n<<8 | uint64(b)
	}
	return schema.Value{Int: int64(n)}, nil
}

func decodeFloat(value driver.Value) (schema.Value, error) {
	switch f := value.(type) {
	case float32:
		return schema.Value{Float: float64(f)}, nil
	case float64:
		return schema.Value{Float: f}, nil
	}
	return schema.Value{}, unexpected(value)
}

// unexpected is a difference between the declared type and what the server sent.
func unexpected(value driver.Value) error {
	return fmt.Errorf("the server sent a value of another type than it declares (%T)", value)
}

// RowName names a row for people: by its key, or not at all.
func (t *Table) RowName(row schema.Row) string {
	values := make([]driver.Value, len(row))
	for _, at := range t.key {
		if values[at] = schema.AppendText(nil, t.Columns[at], row[at]); t.Columns[at].Kind != schema.String && t.Columns[at].Kind != schema.Bytes {
			values[at] = string(values[at].([]byte))
		}
	}
	return t.rowName(values)
}

func (t *Table) rowName(values []driver.Value) string {
	if t.Key == nil {
		return "a row without key"
	}
	parts := make([]string, len(t.key))
	for i, at := range t.key {
		text := fmt.Sprint(values[at])
		if b, ok := values[at].([]byte); ok {
			text = excerpt(b)
		}
		parts[i] = t.Key[i] + " = " + text
	}
	return "row " + strings.Join(parts, ", ")
}

// excerpt shows the beginning of a value, as hexadecimal if it is no text.
func excerpt(b []byte) string {
	const most = 40
	cut := b
	if len(cut) > most {
		cut = cut[:most]
	}
	if utf8.Valid(b) {
		return strconv.Quote(strings.ToValidUTF8(string(cut), ""))
	}
	return "0x" + hex.EncodeToString(cut)
}
