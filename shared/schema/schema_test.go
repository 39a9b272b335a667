package schema_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/schema"
)

func TestTextIsWhatMySQLPrints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		column schema.Column
		value  schema.Value
		want   string
	}{
		"negative decimal below one": {schema.Column{Kind: schema.Decimal, Precision: 10, Scale: 2}, schema.Value{Int: -5}, "-0.05"},
		"decimal without fraction":   {schema.Column{Kind: schema.Decimal, Precision: 5}, schema.Value{Int: 120}, "120"},
		"wide decimal":               {schema.Column{Kind: schema.Decimal, Precision: 30, Scale: 4}, schema.Value{Bytes: []byte{0xFF}}, "-0.0001"},
		"unsigned 64":                {schema.Column{Kind: schema.Uint, Bits: 64}, schema.Value{Int: -1}, "18446744073709551615"},
		"date before 1970":           {schema.Column{Kind: schema.Date}, schema.Value{Int: -1}, "1969-12-31"},
		"datetime(3)":                {schema.Column{Kind: schema.Datetime, Fraction: 3}, schema.Value{Int: 1_500_000}, "1970-01-01 00:00:01.500"},
		"datetime":                   {schema.Column{Kind: schema.Datetime}, schema.Value{Int: -1_000_000}, "1969-12-31 23:59:59"},
		"negative long time":         {schema.Column{Kind: schema.Time, Fraction: 1}, schema.Value{Int: -3_020_399_500_000}, "-838:59:59.5"},
		"double":                     {schema.Column{Kind: schema.Double}, schema.Value{Float: 0.1}, "0.1"},
		"large double":               {schema.Column{Kind: schema.Double}, schema.Value{Float: 1e15}, "1e15"},
		"large double with fraction": {schema.Column{Kind: schema.Double}, schema.Value{Float: -2911167277057830.5}, "-2911167277057830.5"},
		"small double":               {schema.Column{Kind: schema.Double}, schema.Value{Float: 2.5e-16}, "2.5e-16"},
		"float":                      {schema.Column{Kind: schema.Float}, schema.Value{Float: float64(float32(0.1))}, "0.10000000149011612"},
		"negative zero":              {schema.Column{Kind: schema.Double}, schema.Value{Float: math.Copysign(0, -1)}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, string(schema.AppendText(nil, c.column, c.value)))
		})
	}
}

func TestDecimalTextRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, 30).Draw(t, "scale")
		c := schema.Column{Name: "d", Kind: schema.Decimal, Precision: 65, Scale: scale}
		digits := rapid.StringMatching(`-?[0-9]{1,65}`).Draw(t, "digits")
		n, _ := new(big.Int).SetString(digits, 10)
		text := schema.AppendText(nil, c, schema.Value{Bytes: schema.AppendUnscaled(nil, n)})
		var v schema.Value
		require.NoError(t, c.ParseDecimal(&v, text))
		require.Zero(t, n.Cmp(schema.Unscaled(v.Bytes)))
	})
}

func TestNarrowDecimalsAreReadAsWideOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		precision := rapid.IntRange(1, schema.MaxInt64Digits).Draw(t, "precision")
		c := schema.Column{Name: "d", Kind: schema.Decimal, Precision: precision, Scale: rapid.IntRange(0, precision).Draw(t, "scale")}
		text := rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{0,20})?`).Draw(t, "text")
		wide := c
		wide.Precision = 65
		var narrow, want schema.Value
		err, wideErr := c.ParseDecimal(&narrow, []byte(text)), wide.ParseDecimal(&want, []byte(text))
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		if wideErr != nil || schema.Unscaled(want.Bytes).CmpAbs(limit) >= 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, schema.Unscaled(want.Bytes).Int64(), narrow.Int)
	})
}

func TestDecimalIsNeverRounded(t *testing.T) {
	t.Parallel()
	c := schema.Column{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2}
	for _, text := range []string{"1.005", "99999999999999999999", "100000000.00", "-9999999999", "184467440737095516.17", "1e3", "", "-", ".", "1.2.3", "1-2", "NaN"} {
		require.ErrorContains(t, c.ParseDecimal(new(schema.Value), []byte(text)), "price", text)
	}
}

func TestDatesAndTimesAreThoseOfTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.OneOf(
			rapid.Int64Range(-62167219200e6, 253402300799999999), // 0000 … 9999
			rapid.Int64Range(-1e18, 1e18),
		).Draw(t, "micros")).UTC()
		fraction := rapid.IntRange(0, 6).Draw(t, "fraction")
		layout := time.DateTime
		if fraction > 0 {
			layout += ".000000"[:1+fraction]
		}
		require.Equal(t, at.Format(layout),
			string(schema.AppendText(nil, schema.Column{Kind: schema.Datetime, Fraction: fraction}, schema.Value{Int: at.UnixMicro()})))
		day := at.Truncate(24 * time.Hour)
		require.Equal(t, day.Format(time.DateOnly),
			string(schema.AppendText(nil, schema.Column{Kind: schema.Date}, schema.Value{Int: day.Unix() / 86400})))
	})
}
