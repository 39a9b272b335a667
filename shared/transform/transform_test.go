package transform_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/transform"
)

func TestTransformsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]transform.Transform{
		"city":              {Name: transform.Identity, Column: "city"},
		" month( ts ) ":     {Name: transform.Month, Column: "ts"},
		"bucket(16,user)":   {Name: transform.Bucket, Column: "user", Buckets: 16},
		"bucket(3, a, b)":   {Name: transform.Bucket, Column: "a, b", Buckets: 3},
		"identity(year(x))": {Name: transform.Identity, Column: "year(x)"},
		"open(":             {Name: transform.Identity, Column: "open("},
	} {
		got, err := transform.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		if want.Name != transform.Identity {
			again, err := transform.Parse(got.String())
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
	}
}

func TestWhatIsNoTransformSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":               "name a column",
		"hour(ts)":       `there is no transform "hour": write year(column), month(column), day(column), bucket(n, column), or identity(hour(ts))`,
		"month()":        "names no column",
		"bucket(user)":   "write bucket(n, column) with a number n from 1 to 1000000",
		"bucket(0, u)":   "write bucket(n, column)",
		"bucket(many,u)": "write bucket(n, column)",
		"bucket(4,)":     "names no column",
	} {
		_, err := transform.Parse(text)
		require.ErrorContains(t, err, want, text)
	}
	nowhere := func(string) bool { return false }
	_, err := transform.ParseAll([]string{"month(ts)", "hour(ts)", "ts_month", "day()"}, nowhere)
	require.ErrorContains(t, err, `"month(ts)" and "ts_month" both make folders ts_month=…: name one of them`)
	require.ErrorContains(t, err, "hour")
	require.ErrorContains(t, err, `"day()" names no column`)
}

func TestAColumnOfATransformsLookIsAColumn(t *testing.T) {
	t.Parallel()
	all, err := transform.ParseAll([]string{"weight(kg)", "month(ts)"}, func(c string) bool { return c == "weight(kg)" || c == "month(ts)" })
	require.NoError(t, err)
	require.Equal(t, []transform.Transform{{Name: transform.Identity, Column: "weight(kg)"}, {Name: transform.Identity, Column: "month(ts)"}}, all)
}

func bind(t require.TestingT, text string, c schema.Column) transform.Bound {
	parsed, err := transform.Parse(text)
	require.NoError(t, err)
	c.Name = "c"
	b, err := parsed.Bind([]schema.Column{{Name: "other", Kind: schema.Bytes}, c})
	require.NoError(t, err)
	require.Equal(t, 1, b.At)
	return b
}

// TestBucketsAreIcebergs has the hashes of the specification's appendix B; with 2³¹−1 … buckets the hash itself would show, so
// the largest allowed number of buckets stands in for it.
func TestBucketsAreIcebergs(t *testing.T) {
	t.Parallel()
	const buckets = 1_000_000
	micros := time.Date(2017, 11, 16, 22, 31, 8, 0, time.UTC).UnixMicro()
	for name, c := range map[string]struct {
		column schema.Column
		value  schema.Value
		hash   int32
	}{
		"int":           {schema.Column{Kind: schema.Int, Bits: 32}, schema.Value{Int: 34}, 2017239379},
		"unsigned":      {schema.Column{Kind: schema.Uint, Bits: 32}, schema.Value{Int: 34}, 2017239379},
		"decimal 14.20": {schema.Column{Kind: schema.Decimal, Precision: 9, Scale: 2}, schema.Value{Int: 1420}, -500754589},
		"wide 14.20":    {schema.Column{Kind: schema.Decimal, Precision: 38, Scale: 2}, schema.Value{Bytes: []byte{0, 0, 5, 0x8C}}, -500754589},
		"date":          {schema.Column{Kind: schema.Date}, schema.Value{Int: micros / (24 * 3600 * 1e6)}, -653330422},
		"time":          {schema.Column{Kind: schema.Time}, schema.Value{Int: (22*3600 + 31*60 + 8) * 1e6}, -662762989},
		"timestamp":     {schema.Column{Kind: schema.Timestamp}, schema.Value{Int: micros}, -2047944441},
		"text":          {schema.Column{Kind: schema.String}, schema.Value{Bytes: []byte("iceberg")}, 1210000089},
		"bytes":         {schema.Column{Kind: schema.Bytes}, schema.Value{Bytes: []byte{0, 1, 2, 3}}, -188683207},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bind(t, "bucket(1000000, c)", c.column)
			require.EqualValues(t, (c.hash&0x7FFFFFFF)%buckets, b.Value(c.value).Int)
		})
	}
	b := bind(t, "bucket(7, c)", schema.Column{Kind: schema.Int, Bits: 64, Nullable: true})
	require.True(t, b.Value(schema.Value{Null: true}).Null)
	require.Equal(t, "c_bucket", b.Folder())
	require.Equal(t, "bucket(7, c)", b.String())
}

func TestDatesArePartitionedByTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(-62135596800e6, 253402300799e6).Draw(t, "micros")).UTC()
		for _, kind := range []schema.Kind{schema.Datetime, schema.Timestamp, schema.Date} {
			value := schema.Value{Int: at.UnixMicro()}
			if kind == schema.Date {
				value.Int = at.Truncate(24*time.Hour).Unix() / (24 * 3600)
			}
			for text, layout := range map[string]string{"year(c)": "2006", "month(c)": "2006-01", "day(c)": time.DateOnly} {
				b := bind(t, text, schema.Column{Kind: kind, Fraction: 6})
				require.Equal(t, at.Format(layout), b.Text(b.Value(value)))
			}
		}
	})
	// Iceberg stores the distance from 1970.
	b := bind(t, "month(c)", schema.Column{Kind: schema.Date})
	require.EqualValues(t, -1, b.Value(schema.Value{Int: -1}).Int)
	require.EqualValues(t, 12, b.Value(schema.Value{Int: 365}).Int)
}

func TestATransformIsForColumnsThatHaveIt(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		column schema.Column
		want   string
	}{
		"c":            {schema.Column{Kind: schema.Bytes}, "cannot name a folder"},
		"month(c)":     {schema.Column{Kind: schema.String}, "name a date, datetime or timestamp"},
		"bucket(2, c)": {schema.Column{Kind: schema.Double}, "has no buckets"},
		"day(d)":       {schema.Column{Kind: schema.Date}, "there is no column d (there are: c)"},
	} {
		parsed, err := transform.Parse(text)
		require.NoError(t, err)
		c.column.Name = "c"
		_, err = parsed.Bind([]schema.Column{c.column})
		require.ErrorContains(t, err, c.want)
	}
}
