package schema

import (
	"fmt"
	"math/big"
)

// powers of ten, up to one more than the greatest number of MaxInt64Digits digits.
var powers = [MaxInt64Digits + 1]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// ParseDecimal reads decimal text such as MySQL sends ("-12.50") into v. More digits than the
// column has, on either side of the point, are an error, never rounded.
func (c *Column) ParseDecimal(v *Value, text []byte) error {
	digits, negative := text, false
	if len(digits) > 0 && digits[0] == '-' {
		digits, negative = digits[1:], true
	}
	n, count, point := uint64(0), 0, -1
	fits := true
	for _, b := range digits {
		switch {
		case b >= '0' && b <= '9':
			fits = fits && n < powers[MaxInt64Digits]
			n = 10*n + uint64(b-'0')
			count++
		case b == '.' && point < 0:
			point = count
		default:
			return fmt.Errorf("column %s: %q is not a decimal number", c.Name, text)
		}
	}
	if count == 0 {
		return fmt.Errorf("column %s: %q is not a decimal number", c.Name, text)
	}
	missing := c.Scale
	if point >= 0 {
		missing -= count - point
	}
	if missing < 0 {
		return fmt.Errorf("column %s: %q has more than %d digits after the point", c.Name, text, c.Scale)
	}
	if c.Precision > MaxInt64Digits {
		return c.parseWide(v, text, missing)
	}
	for ; missing > 0 && fits; missing-- {
		fits = n < powers[MaxInt64Digits]
		n *= 10
	}
	if !fits || n >= powers[c.Precision] {
		return fmt.Errorf("column %s: %q does not fit decimal(%d,%d)", c.Name, text, c.Precision, c.Scale)
	}
	if v.Int = int64(n); negative {
		v.Int = -v.Int
	}
	return nil
}

// parseWide reads checked text that needs more than an int64, with so many zeros after it.
func (c *Column) parseWide(v *Value, text []byte, zeros int) error {
	digits := make([]byte, 0, len(text)+zeros)
	for _, b := range text {
		if b != '.' {
			digits = append(digits, b)
		}
	}
	for range zeros {
		digits = append(digits, '0')
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	if !ok || n.BitLen() > 8*wideDecimal-1 {
		return fmt.Errorf("column %s: %q does not fit decimal(%d,%d)", c.Name, text, c.Precision, c.Scale)
	}
	v.Bytes = AppendUnscaled(nil, n)
	return nil
}
