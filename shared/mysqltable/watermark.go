package mysqltable

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/millrace/millrace/shared/schema"
)

// High is the greatest value of a watermark column in the snapshot, in canonical text, nil if
// there is none, and whether any row has no value there (NULL, or a zero date read as NULL): such
// rows are in no range of watermarks.
func (t *Table) High(ctx context.Context, column string) (high *string, nulls bool, err error) {
	at, err := schema.Positions(t.Columns, []string{column})
	if err != nil {
		return nil, false, fmt.Errorf("table %s: watermark: %w", t.Name, err)
	}
	c := t.Columns[at[0]]
	switch c.Kind {
	case schema.Int, schema.Uint, schema.Date, schema.Datetime, schema.Timestamp:
	default:
		return nil, false, fmt.Errorf("table %s: column %s (%s) cannot be a watermark: name a date, datetime, timestamp or integer column", t.Name, column, c.Source)
	}
	value := quote(column)
	if mayBeZero(c.Kind) {
		value = t.nullIfZero(value, value)
	}
	query := fmt.Sprintf("SELECT MAX(%[1]s), EXISTS (SELECT 1 FROM %[3]s WHERE %[2]s IS NULL) FROM %[3]s", quote(column), value, quote(t.Name))
	var greatest, exists schema.Value
	err = t.stream(ctx, query, nil, func(values []driver.Value) error {
		err := t.decodeColumn(&greatest, at[0], values[0])
		none := errors.Is(err, errZeroDate) && t.options.ZeroDates == NullZeroDates
		if err != nil && !none {
			return fmt.Errorf("column %s: %w", column, err)
		}
		if !greatest.Null && !none {
			text := string(schema.AppendText(nil, c, greatest))
			high = &text
		}
		err = decodeInt(&exists, values[1])
		nulls = exists.Int != 0
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("table %s: watermark: %w", t.Name, err)
	}
	return high, nulls, nil
}
