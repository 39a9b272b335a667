package laketest

import (
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Awkward is a shop whose training set is hard to join in another engine: words of SQL, quotes, other scripts and upper
// case in names, NULLs in keys and values, orphans, keys that differ in case, accents or trailing spaces only, every type, and a base and a
// lookup table that are extracted incrementally over three days. Days are its landings, oldest first.
func Awkward() (shop *dataset.Dataset, days [][]Table, runs []lake.Run) {
	shop = &dataset.Dataset{
		Name: "classicmodels",
		Tables: map[string]dataset.Table{
			"Order": {Key: []string{"group", "Zeile"}, PartitionBy: []string{"day of week"}},
			"From":  {Key: []string{"Code"}},
			"users": {Key: []string{"number"}, PartitionBy: []string{"région"}},
		},
		Training: dataset.Training{
			Table: "select", Base: "Order",
			Joins: []dataset.Join{{Table: "From", On: map[string]string{"code": "Code"}}, {Table: "users", On: map[string]string{"user": "number"}}},
			Columns: []string{
				"Order.group", "Order.Zeile", "users.number", "From.Code", "Order.day of week", "Order.big", "Order.exact", "Order.wide", "Order.at",
				"Order.since", "Order.born", "Order.took", "Order.ratio", "Order.half", "Order.raw", `From.the "best" of`, "users.région", "users.tiny", "users.medium", "Order.mask",
			},
			User: "number", Item: "Code",
		},
		Users: dataset.Entity{Table: "users", ID: "number"},
		Items: dataset.Entity{Table: "From", ID: "Code"},
	}
	integer := func(name string, bits int, nullable bool) schema.Column {
		return schema.Column{Name: name, Kind: schema.Int, Bits: bits, Nullable: nullable}
	}
	text := func(name string, nullable bool) schema.Column {
		return schema.Column{Name: name, Kind: schema.String, Nullable: nullable}
	}
	order := Table{Name: "Order", Key: []string{"group", "Zeile"}, Columns: []schema.Column{
		integer("group", 32, false), integer("Zeile", 16, false), text("code", true), {Name: "user", Kind: schema.Uint, Bits: 64, Nullable: true},
		text("day of week", true), {Name: "big", Kind: schema.Uint, Bits: 64, Nullable: true},
		{Name: "exact", Kind: schema.Decimal, Precision: 18, Scale: 4, Nullable: true}, {Name: "wide", Kind: schema.Decimal, Precision: 38, Scale: 30, Nullable: true},
		{Name: "at", Kind: schema.Datetime, Fraction: 3, Nullable: true}, {Name: "since", Kind: schema.Timestamp, Nullable: true}, {Name: "born", Kind: schema.Date, Nullable: true},
		{Name: "took", Kind: schema.Time, Fraction: 6, Nullable: true}, {Name: "ratio", Kind: schema.Double, Nullable: true}, {Name: "half", Kind: schema.Float, Nullable: true},
		{Name: "raw", Kind: schema.Bytes, Nullable: true}, {Name: "mask", Kind: schema.Uint, Bits: 7}, integer("version", 64, false),
	}}
	from := Table{Name: "From", Key: []string{"Code"}, Columns: []schema.Column{text("Code", false), text(`the "best" of`, true), integer("version", 64, false)}}
	users := Table{Name: "users", Key: []string{"number"}, Columns: []schema.Column{
		integer("number", 64, false), text("région", true), integer("tiny", 8, false), integer("medium", 24, true),
	}}
	const day = 86400 * 1e6
	wide := func(n ...byte) string { return string(n) }
	at := func(t Table, low, high string, rows ...schema.Row) Table {
		t.Rows, t.Watermark = rows, &lake.Watermark{Column: "version", High: high}
		if low != "" {
			t.Watermark.Low = &low
		}
		return t
	}
	everybody := users
	everybody.Rows = []schema.Row{
		Row(1, "Île-de-France", -128, 8388607), Row(2, nil, 127, nil), Row(3, "東京 / 'q' \"d\" %", 0, -8388608), Row(9223372036854775807, "x=y", 1, 0),
	}
	return shop, [][]Table{
		{
			at(order, "", "5",
				Row(1, 1, "a", 1, "mon", -1, 123456789012345678, wide(0x7F, 1, 2, 3, 4, 5, 6, 7, 8), 1700000000123000, 1700000000*1000000, 19700, 3020399999999, 0.1, 0.5, "\x00\xff", 127, 1),
				Row(1, 2, "A", 2, "tue", nil, -5, wide(0xFF), -1000, -1*1000000, -719528+365, -3020399999999, -1e300, -0.25, "", 0, 1), // overwritten on the second day
				Row(2, -32768, "á", 3, nil, 0, nil, nil, nil, nil, nil, nil, nil, nil, nil, 1, 2),
				Row(2, 32767, "a ", 3, "mon", 1, 0, wide(0), 0, 0, 0, 0, 0.0, 0.0, "'\"\\", 2, 2), // an orphan: a trailing space
				Row(3, 1, nil, 1, "mon", 1, 0, wide(0), 0, 0, 0, 0, 0.0, 0.0, "", 3, 3),           // no code
				Row(3, 2, "a", nil, "tue", 1, 0, wide(0), 0, 0, 0, 0, 0.0, 0.0, "", 4, 3),         // no user
				Row(3, 3, "nowhere", 77, "wed", 1, 0, wide(0), 0, 0, 0, 0, 0.0, 0.0, "", 5, 5),
				Row(4, 1, "", 9223372036854775807, "wed", 1, 0, wide(0x80), 0, 0, 2932896, 0, 1.5, 1.5, "x", 6, 5),
			),
			at(from, "", "5", Row("a", "old", 1), Row("A", "Großbuchstabe", 1), Row("á", nil, 1), Row("", "nothing", 5)),
			everybody,
		},
		{
			at(order, "5", "6", Row(1, 2, "á", 1, "thu", 7, 1, wide(1), 86400*1e6+1000, day, 1, 1, 2.5, 2.5, "y", 8, 6)),
			at(from, "5", "6"), everybody,
		},
		{
			at(order, "6", "9", Row(5, 1, "a", 2, "fri", 8, -1, wide(0x80, 0), 5000, 6*1000000, 2, 2, -0.5, -0.5, "z", 9, 9), Row(4, 1, "", 1, "wed", nil, 0, wide(0), 0, 0, 0, 0, 0.25, 0.25, "", 10, 9)),
			at(from, "6", "9", Row("a", "new \n\t;--", 9)), everybody,
		},
	}, []lake.Run{"20261120T020000Z", "20261121T020000Z", "20261122T020000Z"}
}
