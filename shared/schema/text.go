package schema

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// AppendText appends a value's canonical text: what MySQL prints for it under
// `CAST(column AS CHAR)`, so that the server and every later stage can compute the same
// content checksum from it. NULL has no text: callers decide what stands for it.
// Bytes append as they are. A FLOAT appends as the DOUBLE it equals, since MySQL prints only
// six digits of a FLOAT; a negative zero as 0, since MariaDB prints it so.
func AppendText(dst []byte, c Column, v Value) []byte { return c.AppendText(dst, &v) }

// AppendText is the function of this name without copies of the column and the value.
func (c *Column) AppendText(dst []byte, v *Value) []byte {
	switch c.Kind {
	case Int:
		return strconv.AppendInt(dst, v.Int, 10)
	case Uint:
		return strconv.AppendUint(dst, uint64(v.Int), 10)
	case Decimal:
		return appendDecimal(dst, c, v)
	case Float, Double:
		return appendFloat(dst, v.Float, 64)
	case Date:
		return appendDate(dst, v.Int)
	case Datetime, Timestamp:
		return appendClock(dst, v.Int, c.Fraction)
	case Time:
		return appendDuration(dst, v.Int, c.Fraction)
	case Vector:
		for i, f := range v.Vector {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
		}
		return dst
	default:
		return append(dst, v.Bytes...)
	}
}

// Text is a value for people and for text formats: NULL is "", bytes are base64.
func Text(c Column, v Value) string {
	switch {
	case v.Null:
		return ""
	case c.Kind == Bytes:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	case c.Kind == Float:
		return string(appendFloat(nil, v.Float, 32))
	}
	return string(AppendText(nil, c, v))
}

// Number reads a numeric value as float64, for features and weights; it is false for NULL
// and for kinds that are no number. Decimals lose digits here: never use it to carry data.
func Number(c Column, v Value) (float64, bool) {
	if v.Null {
		return 0, false
	}
	switch c.Kind {
	case Int:
		return float64(v.Int), true
	case Uint:
		return float64(uint64(v.Int)), true
	case Float, Double:
		return v.Float, true
	case Decimal:
		f, err := strconv.ParseFloat(string(appendDecimal(nil, &c, &v)), 64)
		return f, err == nil
	case Date, Datetime, Timestamp, Time:
		return float64(v.Int), true
	}
	return 0, false
}

const (
	microsPerDay = 86400 * 1e6
	// MySQL's dates; others are printed by package time, which takes five times as long (240 ns against 49).
	firstDay, lastDay = -719528, 2932896 // 0000-01-01, 9999-12-31
)

// appendDate appends YYYY-MM-DD for days since 1970-01-01 in the proleptic Gregorian calendar.
func appendDate(dst []byte, days int64) []byte {
	if days < firstDay || days > lastDay {
		return time.Unix(days*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
	}
	// Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: years begin in March.
	d := uint64(days + 719468 + 146097)
	era, dayOfEra := d/146097, d%146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	month := (5*dayOfYear + 2) / 153
	day := dayOfYear - (153*month+2)/5 + 1
	year := yearOfEra + era*400 - 400
	if month += 3; month > 12 {
		month -= 12
		year++
	}
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), month)
	return appendTwo(append(dst, '-'), day)
}

// appendClock appends the date and time of day of microseconds since 1970-01-01 00:00:00.
func appendClock(dst []byte, micros int64, fraction int) []byte {
	days, rest := micros/microsPerDay, micros%microsPerDay
	if rest < 0 {
		days, rest = days-1, rest+microsPerDay
	}
	dst = append(appendDate(dst, days), ' ')
	sec, sub := uint64(rest)/1e6, uint64(rest)%1e6
	dst = appendTwo(dst, sec/3600)
	dst = appendTwo(append(dst, ':'), sec/60%60)
	dst = appendTwo(append(dst, ':'), sec%60)
	if fraction > 0 {
		dst = append(dst, '.')
		dst = appendTwo(appendTwo(appendTwo(dst, sub/1e4), sub/100%100), sub%100)
		dst = dst[:len(dst)-6+fraction]
	}
	return dst
}

func appendTwo(dst []byte, n uint64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func appendDuration(dst []byte, micros int64, fraction int) []byte {
	if micros < 0 {
		dst = append(dst, '-')
		micros = -micros
	}
	sec, rest := micros/1e6, micros%1e6
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", sec/3600, sec/60%60, sec%60)
	if fraction > 0 {
		dst = append(dst, fmt.Sprintf(".%06d", rest)[:1+fraction]...)
	}
	return dst
}

func appendDecimal(dst []byte, c *Column, v *Value) []byte {
	if c.Precision > MaxInt64Digits {
		n := Unscaled(v.Bytes)
		if n.Sign() < 0 {
			dst = append(dst, '-')
		}
		start := len(dst)
		return insertPoint(n.Abs(n).Append(dst, 10), start, c.Scale)
	}
	n := v.Int
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	start := len(dst)
	return insertPoint(strconv.AppendInt(dst, n, 10), start, c.Scale)
}

// insertPoint puts the point scale digits from the right of the digits that begin at start, with a
// leading zero as MySQL prints it.
func insertPoint(dst []byte, start, scale int) []byte {
	if scale == 0 {
		return dst
	}
	for len(dst)-start <= scale {
		dst = slices.Insert(dst, start, '0')
	}
	return slices.Insert(dst, len(dst)-scale, '.')
}

// appendFloat prints the shortest digits that read back as the same number, in MySQL's
// layout: plain between 1e-15 and 1e15, and above it while there are digits after the point;
// else an exponent without plus sign or padding (my_gcvt in MySQL's strings/dtoa.cc).
func appendFloat(dst []byte, f float64, bits int) []byte {
	abs := math.Abs(f)
	if f == 0 {
		return append(dst, '0')
	}
	if abs >= 1e-15 && (abs < 1e15 || abs != math.Trunc(abs)) {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	for i := start; i < len(dst); i++ {
		if dst[i] != 'e' {
			continue
		}
		exponent, _ := strconv.Atoi(string(dst[i+1:]))
		return strconv.AppendInt(dst[:i+1], int64(exponent), 10)
	}
	return dst
}

// Unscaled reads big-endian two's complement, as Avro and Parquet store decimals.
func Unscaled(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// AppendUnscaled appends n as big-endian two's complement in the fewest bytes.
func AppendUnscaled(dst []byte, n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0]&0x80 != 0 {
			dst = append(dst, 0)
		}
		return append(dst, b...)
	}
	length := new(big.Int).Not(n).BitLen()/8 + 1
	wrapped := new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*length)))
	return append(dst, wrapped.FillBytes(make([]byte, length))...)
}
