// Package readers_test reads what the partitioner publishes with the programs that people use: DuckDB, PyArrow, PySpark, parquet-go,
// and SQL through Athena.
package readers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/athena"
	athenatypes "github.com/aws/aws-sdk-go-v2/service/athena/types"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/schema"
)

const run lake.Run = "20261122T020000Z"

// patience is for one reader, a Java machine's start among it, on a machine that has other work.
const patience = 90 * time.Second

// cell is a value and the text that every reader has to give for it: numbers exact, floats by their bits, bytes in hexadecimal.
// The text is written by hand, or by fmt, never by the code that is tested.
type cell struct {
	value any // of laketest.Row, or *big.Int
	want  string
}

// column has the least, the greatest and a typical value of a type of docs/types.md.
type column struct {
	kind  string // as there
	typed schema.Column
	cells []cell
}

func integer(kind string, k schema.Kind, bits int, least, greatest int64) column {
	want := func(n int64) cell { return cell{int(n), fmt.Sprint(n)} }
	return column{kind, schema.Column{Kind: k, Bits: bits}, []cell{want(least), want(greatest), want(1)}}
}

func micros(text string) cell {
	at, err := time.Parse("2006-01-02 15:04:05.000000", text)
	if err != nil {
		panic(err)
	}
	return cell{int(at.UnixMicro()), text}
}

func wide(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		panic(text)
	}
	return n
}

var (
	clocks = []cell{micros("1000-01-01 00:00:00.000000"), micros("9999-12-31 23:59:59.000000"), micros("1969-12-31 23:59:59.000000")}
	exact  = []cell{micros("1000-01-01 00:00:00.000001"), micros("9999-12-31 23:59:59.999999"), micros("1969-12-31 23:59:59.999999")}
	times  = []cell{{-3020399_000000, "-3020399000000"}, {3020399_000000, "3020399000000"}, {-1, "-1"}}
)

var columns = []column{
	integer("int(8)", schema.Int, 8, -128, 127), integer("uint(8)", schema.Uint, 8, 0, 255),
	integer("int(16)", schema.Int, 16, -32768, 32767), integer("uint(16)", schema.Uint, 16, 0, 65535),
	integer("int(24)", schema.Int, 24, -8388608, 8388607), integer("uint(24)", schema.Uint, 24, 0, 16777215),
	integer("int(32)", schema.Int, 32, math.MinInt32, math.MaxInt32), integer("uint(32)", schema.Uint, 32, 0, math.MaxUint32),
	integer("int(64)", schema.Int, 64, math.MinInt64, math.MaxInt64),
	{"uint(64)", schema.Column{Kind: schema.Uint, Bits: 64}, []cell{{0, "0"}, {-1, "18446744073709551615"}, {7, "7"}}},
	integer("uint(1)", schema.Uint, 1, 0, 1), integer("uint(12)", schema.Uint, 12, 0, 4095),
	{"decimal(9,2)", schema.Column{Kind: schema.Decimal, Precision: 9, Scale: 2}, []cell{{-999999999, "-9999999.99"}, {999999999, "9999999.99"}, {-5, "-0.05"}}},
	{"decimal(18,4)", schema.Column{Kind: schema.Decimal, Precision: 18, Scale: 4}, []cell{
		{-999999999999999999, "-99999999999999.9999"}, {999999999999999999, "99999999999999.9999"}, {1, "0.0001"},
	}},
	{"decimal(38,10)", schema.Column{Kind: schema.Decimal, Precision: 38, Scale: 10}, []cell{
		{wide("-99999999999999999999999999999999999999"), "-9999999999999999999999999999.9999999999"},
		{wide("99999999999999999999999999999999999999"), "9999999999999999999999999999.9999999999"},
		{wide("-1"), "-0.0000000001"},
	}},
	{"float", schema.Column{Kind: schema.Float}, []cell{{-math.MaxFloat32, "ff7fffff"}, {math.MaxFloat32, "7f7fffff"}, {float64(float32(0.1)), "3dcccccd"}}},
	{"double", schema.Column{Kind: schema.Double}, []cell{{-math.MaxFloat64, "ffefffffffffffff"}, {math.MaxFloat64, "7fefffffffffffff"}, {0.1, "3fb999999999999a"}}},
	{"date", schema.Column{Kind: schema.Date}, []cell{{-354285, "1000-01-01"}, {2932896, "9999-12-31"}, {-1, "1969-12-31"}}},
	{"datetime(0)", schema.Column{Kind: schema.Datetime}, clocks}, {"datetime(6)", schema.Column{Kind: schema.Datetime, Fraction: 6}, exact},
	{"timestamp(0)", schema.Column{Kind: schema.Timestamp}, clocks}, {"timestamp(6)", schema.Column{Kind: schema.Timestamp, Fraction: 6}, exact},
	{"time(0)", schema.Column{Kind: schema.Time}, times}, {"time(6)", schema.Column{Kind: schema.Time, Fraction: 6}, times},
	{"string", schema.Column{Kind: schema.String}, []cell{{"", ""}, {"🧵漢é", "🧵漢é"}, {"'a', \"b\"\n", "'a', \"b\"\n"}}},
	{"bytes", schema.Column{Kind: schema.Bytes}, []cell{{"", ""}, {"\xff\x00\xc3\x28", "ff00c328"}, {"a", "61"}}},
}

// beyondAthena is a decimal of more digits than Athena, DuckDB and Spark have; docs/types.md says so.
var beyondAthena = column{"decimal(65,30)", schema.Column{Kind: schema.Decimal, Precision: 65, Scale: 30}, []cell{
	{wide("-" + strings.Repeat("9", 65)), "-" + strings.Repeat("9", 35) + "." + strings.Repeat("9", 30)},
	{wide(strings.Repeat("9", 65)), strings.Repeat("9", 35) + "." + strings.Repeat("9", 30)},
	{wide("1"), "0." + strings.Repeat("0", 29) + "1"},
}}

// table has every column, with a row for each cell and one of NULLs, and their texts in the order of the key.
func table(name string, columns []column) (laketest.Table, [][]*string) {
	t := laketest.Table{Name: name, Key: []string{"id"}, Columns: []schema.Column{{Name: "id", Kind: schema.Int, Bits: 32}}}
	for i, c := range columns {
		typed := c.typed
		typed.Name, typed.Nullable = fmt.Sprintf("column %d %s é", i, c.kind), true
		t.Columns = append(t.Columns, typed)
	}
	want := make([][]*string, 4)
	for n := 3; n >= 0; n-- { // the rows come out of order
		id := fmt.Sprint(n)
		values, texts := []any{n}, []*string{&id}
		for _, c := range columns {
			if n == 3 {
				values, texts = append(values, nil), append(texts, nil)
				continue
			}
			value := c.cells[n].value
			if number, ok := value.(*big.Int); ok {
				value = string(schema.AppendUnscaled(nil, number))
			}
			values, texts = append(values, value), append(texts, &c.cells[n].want)
		}
		t.Rows = append(t.Rows, laketest.Row(values...))
		want[n] = texts
	}
	return t, want
}

// many has more rows than a page, dictionaries that fill up, columns of one value, and pages of NULLs.
func many() (laketest.Table, [][]*string) {
	t := laketest.Table{Name: "many", Key: []string{"user", "product"}, Columns: []schema.Column{
		{Name: "user", Kind: schema.Int, Bits: 64}, {Name: "product", Kind: schema.String}, {Name: "rating", Kind: schema.Int, Bits: 8},
		{Name: "price", Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true}, {Name: "city", Kind: schema.String, Nullable: true},
		{Name: "note", Kind: schema.String}, {Name: "one", Kind: schema.String},
	}}
	var want [][]*string
	for i := range 45_000 {
		user, product, rating, price, note := i/10, fmt.Sprintf("P%06d", i%10*1000+i/10%997), i*i%5, i*7919%1_000_000, fmt.Sprintf("%0*d", 10+i%40, i*7919)
		row := laketest.Row(user, product, rating, price, []string{"Łódź", "Rome", ""}[i%3], note, "x")
		ptr := func(s string) *string { return &s }
		texts := []*string{
			ptr(fmt.Sprint(user)), &product, ptr(fmt.Sprint(rating)), ptr(fmt.Sprintf("%d.%02d", price/100, price%100)),
			ptr([]string{"Łódź", "Rome", ""}[i%3]), &note, ptr("x"),
		}
		if i%8 == 0 {
			row[3].Null, texts[3] = true, nil
		}
		if i >= 20_000 && i < 40_000 { // the second page
			row[4].Null, texts[4] = true, nil
		}
		t.Rows, want = append(t.Rows, row), append(want, texts)
	}
	return t, want
}

// publication is a table as the partitioner publishes it.
type publication struct {
	laketest.Table
	want  [][]*string
	files []string // on the local disk
}

func publish(t *testing.T, s lake.Store, table laketest.Table, want [][]*string, dir string) publication {
	t.Helper()
	result, err := partition.Write(t.Context(), s, laketest.LandFiles(t, s, table, run, 10_000), partition.Options{Limits: partition.DefaultLimits()})
	require.NoError(t, err)
	p := publication{Table: table, want: want}
	for _, f := range result.Marker.Files {
		p.files = append(p.files, filepath.Join(dir, filepath.FromSlash(f.Key)))
	}
	return p
}

func python(t *testing.T) string {
	t.Helper()
	if os.Getenv("MILLRACE_END_TO_END") == "" {
		t.Skip("DuckDB, PyArrow and PySpark are installed for it, 430 MB: run it with make test (or MILLRACE_END_TO_END=1)")
	}
	here, err := os.Getwd()
	require.NoError(t, err)
	settings, err := cloud.SettingsFrom(map[string]string{}, here)
	require.NoError(t, err)
	settings.VenvDir = filepath.Join(settings.Root, ".local")
	if dir := os.Getenv("LOCAL_VENV_DIR"); dir != "" {
		settings.VenvDir = dir
	}
	interpreter, err := settings.ReadersPython(t.Context())
	require.NoError(t, err)
	return interpreter
}

// byProgram has read.py print what a reader finds in each table.
func byProgram(t *testing.T, interpreter, reader string, tables ...publication) (found [][][]*string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{"read.py", reader}
	for i, p := range tables {
		if i > 0 {
			args = append(args, "--")
		}
		args = append(args, p.files...)
	}
	cmd := exec.CommandContext(ctx, interpreter, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	var rows [][]*string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var row []*string
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		if row == nil {
			found, rows = append(found, rows), nil
		} else {
			rows = append(rows, row)
		}
	}
	return found
}

func requireRows(t *testing.T, want, got [][]*string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, row := range want {
		if !slices.EqualFunc(row, got[i], func(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }) {
			require.Equal(t, show(row), show(got[i]), "row %d", i)
		}
	}
}

func show(row []*string) (texts []string) {
	for _, s := range row {
		if s == nil {
			texts = append(texts, "NULL")
		} else {
			texts = append(texts, strconv.Quote(*s))
		}
	}
	return texts
}

func TestEveryReaderFindsTheSameValues(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	dir := t.TempDir()
	s := lake.NewDirectory(dir)
	all, allWant := table("all", columns)
	digits, digitsWant := table("digits", []column{beyondAthena})
	long, longWant := many()
	tables := []publication{publish(t, s, all, allWant, dir), publish(t, s, long, longWant, dir)}
	widest := publish(t, s, digits, digitsWant, dir)
	for _, reader := range []string{"pyarrow", "duckdb", "pyspark"} {
		t.Run(reader, func(t *testing.T) {
			t.Parallel()
			found := byProgram(t, interpreter, reader, tables...)
			require.Len(t, found, len(tables))
			for i, p := range tables {
				requireRows(t, p.want, found[i])
			}
		})
	}
	t.Run("pyarrow, 65 digits", func(t *testing.T) {
		t.Parallel()
		requireRows(t, widest.want, byProgram(t, interpreter, "pyarrow", widest)[0])
	})
}

func TestParquetGoFindsTheSameValues(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := lake.NewDirectory(dir)
	all, allWant := table("all", append(slices.Clone(columns), beyondAthena))
	long, longWant := many()
	for _, p := range []publication{publish(t, s, all, allWant, dir), publish(t, s, long, longWant, dir)} {
		var got [][]*string
		for _, file := range p.files {
			got = append(got, byParquetGo(t, file)...)
		}
		requireRows(t, p.want, got)
	}
}

// byParquetGo reads cells as the library gives them, by the types that the file declares: none of package parquetfile.
func byParquetGo(t *testing.T, path string) (rows [][]*string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	reader := parquet.NewReader(file)
	defer reader.Close()
	leaves := reader.Schema().Fields()
	buffer := make([]parquet.Row, 1000)
	for {
		n, err := reader.ReadRows(buffer)
		for _, row := range buffer[:n] {
			texts := make([]*string, len(row))
			for i, v := range row {
				if !v.IsNull() {
					text := cellText(leaves[i], v)
					texts[i] = &text
				}
			}
			rows = append(rows, texts)
		}
		if errors.Is(err, io.EOF) {
			return rows
		}
		require.NoError(t, err)
	}
}

func cellText(leaf parquet.Node, v parquet.Value) string {
	if logical := leaf.Type().LogicalType(); logical != nil {
		switch kind := leaf.Type().String(); {
		case strings.HasPrefix(kind, "DECIMAL("):
			_, scale, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(kind, "DECIMAL("), ")"), ",")
			digits, _ := strconv.Atoi(scale)
			n := big.NewInt(0)
			switch v.Kind() {
			case parquet.Int32:
				n.SetInt64(int64(v.Int32()))
			case parquet.Int64:
				n.SetInt64(v.Int64())
			default:
				n.SetBytes(v.ByteArray())
				if v.ByteArray()[0] >= 0x80 {
					n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v.ByteArray()))))
				}
			}
			return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)).FloatString(digits)
		case kind == "DATE":
			return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
		case strings.HasPrefix(kind, "TIMESTAMP("):
			return time.UnixMicro(v.Int64()).UTC().Format("2006-01-02 15:04:05.000000")
		case kind == "STRING":
			return string(v.ByteArray())
		}
	}
	switch v.Kind() {
	case parquet.Float:
		return fmt.Sprintf("%08x", math.Float32bits(v.Float()))
	case parquet.Double:
		return fmt.Sprintf("%016x", math.Float64bits(v.Double()))
	case parquet.ByteArray:
		return hex.EncodeToString(v.ByteArray())
	}
	return v.String()
}

func TestAthenaFindsTheSameValues(t *testing.T) {
	t.Parallel()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Skip("no emulated AWS: AWS_ENDPOINT_URL is not set (make test sets it)")
	}
	ctx := t.Context()
	cfg, err := config.LoadDefaultConfig(ctx)
	require.NoError(t, err)
	const bucket, database = "millrace-readers", "readers"
	_, err = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	tables := glue.NewFromConfig(cfg)
	_, err = tables.CreateDatabase(ctx, &glue.CreateDatabaseInput{DatabaseInput: &gluetypes.DatabaseInput{Name: aws.String(database)}})
	require.NoError(t, err)
	client := sdk.NewFromConfig(cfg)
	_, err = client.CreateWorkGroup(ctx, &sdk.CreateWorkGroupInput{Name: aws.String(database), Configuration: &athenatypes.WorkGroupConfiguration{
		ResultConfiguration: &athenatypes.ResultConfiguration{OutputLocation: aws.String("s3://" + bucket + "/queries/")},
	}})
	require.NoError(t, err)
	queries := athena.New(client, database, database, 50*time.Millisecond)
	store := lake.NewBucket(cfg, bucket)
	all, allWant := table("all_types", columns)
	long, longWant := many()
	for _, p := range []publication{publish(t, store, all, allWant, ""), publish(t, store, long, longWant, "")} {
		require.NoError(t, catalog.New(tables).Register(ctx, catalog.Table{
			Database: database, Name: p.Name, Location: "s3://" + bucket + "/" + lake.CuratedRoot(p.Name), Columns: p.Columns, Day: run.Date(),
		}))
		var selected []string
		for _, c := range p.Columns {
			name := `"` + c.Name + `"`
			if c.Kind == schema.Bytes {
				name = "to_hex(" + name + ")"
			}
			selected = append(selected, name)
		}
		var order []string
		for _, name := range p.Key {
			order = append(order, `"`+name+`"`)
		}
		rows, err := queries.Query(ctx, fmt.Sprintf("SELECT %s FROM %q WHERE dt = '%s' ORDER BY %s",
			strings.Join(selected, ", "), p.Name, run.Date(), strings.Join(order, ", ")))
		require.NoError(t, err)
		for _, row := range rows {
			for i, text := range row {
				if text != nil {
					*text = athenaText(t, p.Columns[i], *text)
				}
			}
		}
		requireRows(t, p.want, rows)
	}
}

// athenaText gives Athena's result the form of the others: clocks of six digits, floats by their bits, no decimal with an exponent.
func athenaText(t *testing.T, c schema.Column, text string) string {
	t.Helper()
	switch c.Kind {
	case schema.Decimal:
		n, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		return n.FloatString(c.Scale)
	case schema.Datetime, schema.Timestamp:
		at, err := time.Parse("2006-01-02 15:04:05", strings.TrimSuffix(strings.TrimSuffix(text, " UTC"), "+00:00"))
		require.NoError(t, err)
		return at.Format("2006-01-02 15:04:05.000000")
	case schema.Float:
		f, err := strconv.ParseFloat(text, 32)
		require.NoError(t, err)
		return fmt.Sprintf("%08x", math.Float32bits(float32(f)))
	case schema.Double:
		f, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		return fmt.Sprintf("%016x", math.Float64bits(f))
	case schema.Bytes:
		return strings.ToLower(text)
	}
	return text
}

// TestEveryTypeOfTheDocumentIsRead keeps the columns above complete.
func TestEveryTypeOfTheDocumentIsRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/types.md")
	require.NoError(t, err)
	tested := []string{beyondAthena.kind}
	for _, c := range columns {
		tested = append(tested, c.kind)
	}
	rows := regexp.MustCompile("(?m)^\\| `[^|]*\\| ([^|]*) \\|").FindAllSubmatch(text, -1)
	require.Greater(t, len(rows), 20)
	for _, row := range rows {
		require.Contains(t, tested, string(row[1]))
	}
}
