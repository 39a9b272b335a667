package asof

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// compare orders two canonical texts of a watermark column.
func compare(c schema.Column, a, b string) (int, error) {
	switch c.Kind {
	case schema.Int, schema.Uint:
		x, okX := new(big.Int).SetString(a, 10)
		y, okY := new(big.Int).SetString(b, 10)
		if !okX || !okY {
			return 0, fmt.Errorf("%q or %q is no integer", a, b)
		}
		return x.Cmp(y), nil
	case schema.Date, schema.Datetime, schema.Timestamp:
		// YYYY-MM-DD hh:mm:ss.ffffff orders as text; the column may have had fewer digits of the second.
		return strings.Compare(withoutZeros(a), withoutZeros(b)), nil
	}
	return 0, fmt.Errorf("a column of type %s is no watermark", typeName(c))
}

func withoutZeros(clock string) string {
	if !strings.Contains(clock, ".") {
		return clock
	}
	return strings.TrimRight(strings.TrimRight(clock, "0"), ".")
}
