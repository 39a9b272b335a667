package mysqltable_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// Each type with values at its ends: what is inserted, as SQL, and the text that must come out.
var matrix = []struct {
	columnType string
	kind       schema.Kind
	values     map[string]string
}{
	{"TINYINT", schema.Int, map[string]string{"-128": "-128", "127": "127", "0": "0"}},
	{"TINYINT UNSIGNED", schema.Uint, map[string]string{"255": "255"}},
	{"BOOLEAN", schema.Int, map[string]string{"TRUE": "1"}},
	{"SMALLINT", schema.Int, map[string]string{"-32768": "-32768", "32767": "32767"}},
	{"SMALLINT UNSIGNED", schema.Uint, map[string]string{"65535": "65535"}},
	{"MEDIUMINT", schema.Int, map[string]string{"-8388608": "-8388608", "8388607": "8388607"}},
	{"MEDIUMINT UNSIGNED", schema.Uint, map[string]string{"16777215": "16777215"}},
	{"INT", schema.Int, map[string]string{"-2147483648": "-2147483648", "2147483647": "2147483647"}},
	{"INT UNSIGNED", schema.Uint, map[string]string{"4294967295": "4294967295"}},
	{"INT(8) ZEROFILL", schema.Uint, map[string]string{"42": "42"}},
	{"BIGINT", schema.Int, map[string]string{"-9223372036854775808": "-9223372036854775808", "9223372036854775807": "9223372036854775807"}},
	{"BIGINT UNSIGNED", schema.Uint, map[string]string{"18446744073709551615": "18446744073709551615", "1": "1"}},
	{"DECIMAL(10,2)", schema.Decimal, map[string]string{"-99999999.99": "-99999999.99", "0.05": "0.05", "0": "0.00"}},
	{"DECIMAL(18,18)", schema.Decimal, map[string]string{"0.000000000000000001": "0.000000000000000001"}},
	{"DECIMAL(19,0)", schema.Decimal, map[string]string{"-9999999999999999999": "-9999999999999999999", "0": "0"}},
	{"DECIMAL(65,30)", schema.Decimal, map[string]string{
		"-" + strings.Repeat("9", 35) + "." + strings.Repeat("9", 30): "-" + strings.Repeat("9", 35) + "." + strings.Repeat("9", 30),
		"1": "1." + strings.Repeat("0", 30),
	}},
	{"DECIMAL(8,3) ZEROFILL", schema.Decimal, map[string]string{"1.5": "1.500"}},
	{"FLOAT", schema.Float, map[string]string{"0.1": "0.10000000149011612", "16777216": "16777216", "-3.4028234e38": "-3.4028234663852886e38", "1e-45": "1.401298464324817e-45"}},
	{"FLOAT(7,4)", schema.Float, map[string]string{"1.25": "1.25"}},
	{"DOUBLE", schema.Double, map[string]string{"0.1": "0.1", "1.7976931348623157e308": "1.7976931348623157e308", "5e-324": "5e-324", "-0e0": "0"}},
	{"DOUBLE(10,2)", schema.Double, map[string]string{"1.5": "1.5"}},
	{"BIT(1)", schema.Uint, map[string]string{"b'1'": "1", "b'0'": "0"}},
	{"BIT(12)", schema.Uint, map[string]string{"b'100000000001'": "2049"}},
	{"BIT(64)", schema.Uint, map[string]string{"18446744073709551615": "18446744073709551615"}},
	{"DATE", schema.Date, map[string]string{"'1969-12-31'": "1969-12-31", "'9999-12-31'": "9999-12-31", "'1000-01-01'": "1000-01-01", "'2024-02-29'": "2024-02-29"}},
	{"DATETIME(3)", schema.Datetime, map[string]string{"'1969-12-31 23:59:59.999'": "1969-12-31 23:59:59.999", "'2020-01-01'": "2020-01-01 00:00:00.000"}},
	{"TIMESTAMP(6)", schema.Timestamp, map[string]string{"'1970-01-01 00:00:01.123456'": "1970-01-01 00:00:01.123456"}},
	{"TIME(2)", schema.Time, map[string]string{"'-00:00:00.5'": "-00:00:00.50"}},
	{"YEAR", schema.Int, map[string]string{"1901": "1901", "2155": "2155", "0": "0"}},
	{"CHAR(5)", schema.String, map[string]string{"'ab'": "ab", "''": ""}},
	{"VARCHAR(50)", schema.String, map[string]string{"'ab  '": "ab  ", "'🧵漢é'": "🧵漢é", "CONCAT('a', CHAR(0), CHAR(31))": "a\x00\x1f"}},
	{"VARCHAR(50) CHARACTER SET latin1", schema.String, map[string]string{"'Müller €'": "Müller €", "'São'": "São"}},
	{"VARCHAR(50) CHARACTER SET ucs2", schema.String, map[string]string{"'漢é'": "漢é"}},
	{"VARCHAR(50) CHARACTER SET sjis", schema.String, map[string]string{"'日本'": "日本"}},
	{"VARCHAR(50) CHARACTER SET koi8r COLLATE koi8r_bin", schema.String, map[string]string{"'Привет'": "Привет"}},
	{"TINYTEXT", schema.String, map[string]string{"'x'": "x"}},
	{"TEXT CHARACTER SET latin1", schema.String, map[string]string{"'é'": "é"}},
	{"MEDIUMTEXT", schema.String, map[string]string{"'é'": "é"}},
	{"LONGTEXT", schema.String, map[string]string{"REPEAT('é', 100000)": strings.Repeat("é", 100000)}},
	{"BINARY(4)", schema.Bytes, map[string]string{"X'00C3'": "\x00\xc3\x00\x00"}},
	{"VARBINARY(50)", schema.Bytes, map[string]string{"X'C3280000'": "\xc3\x28\x00\x00", "X''": ""}},
	{"BLOB", schema.Bytes, map[string]string{"X'001FFFE9'": "\x00\x1f\xff\xe9"}},
	{"LONGBLOB", schema.Bytes, map[string]string{"REPEAT(X'FF', 70000)": strings.Repeat("\xff", 70000)}},
	{"ENUM('small','größe')", schema.String, map[string]string{"'größe'": "größe", "0": ""}},
	{"ENUM('é','b') CHARACTER SET latin1", schema.String, map[string]string{"'é'": "é"}},
	{"SET('a','b','ç')", schema.String, map[string]string{"'ç,a'": "a,ç", "''": ""}},
	{"ENUM('a','b') CHARACTER SET ascii", schema.String, map[string]string{"'b'": "b"}},
	{"CHAR(8) CHARACTER SET ascii", schema.String, map[string]string{"'ab?'": "ab?", "''": ""}},
	{"VARCHAR(50) CHARACTER SET greek", schema.String, map[string]string{"'Ωmega?'": "Ωmega?"}},
	{"VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_bin", schema.String, map[string]string{"X'81'": "\u0081"}},
	{"VARCHAR(50) CHARACTER SET utf8mb3", schema.String, map[string]string{"'é?'": "é?"}},
	{"UUID", schema.String, map[string]string{"'123E4567-E89B-12D3-A456-426655440000'": "123e4567-e89b-12d3-a456-426655440000"}},
	{"INET4", schema.String, map[string]string{"'10.0.0.1'": "10.0.0.1"}},
	{"INET6", schema.String, map[string]string{"'2001:DB8::1'": "2001:db8::1", "'::ffff:10.0.0.1'": "::ffff:10.0.0.1"}},
	{"POINT", schema.Bytes, map[string]string{
		"ST_GeomFromText('POINT(1 2)', 4326)": "\xe6\x10\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40",
		"POINT(0, 0)":                         strings.Repeat("\x00", 4) + "\x01\x01" + strings.Repeat("\x00", 19),
	}},
	{"GEOMETRY", schema.Bytes, map[string]string{
		"ST_GeomFromText('LINESTRING(1 2, 1 2)', 1)": "\x01\x00\x00\x00\x01\x02\x00\x00\x00\x02\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40", 2),
	}},
	{"JSON", schema.String, map[string]string{`'{"a": "é"}'`: `{"a": "é"}`}},
}

func TestEveryTypeIsReadExactlyAndHasTheServersChecksum(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	for i, c := range matrix {
		t.Run(c.columnType, func(t *testing.T) {
			t.Parallel()
			table := fmt.Sprintf("t%d", i)
			db.Exec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, `the ``value` "+c.columnType+" NULL)", "INSERT INTO "+table+" VALUES (0, NULL)")
			want := [][]string{{"0", "NULL"}}
			for sql, text := range c.values {
				db.Exec(t, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", table, len(want), sql))
				want = append(want, []string{fmt.Sprint(len(want)), text})
			}
			tab := open(t, db, table, strict)
			require.Equal(t, c.kind, tab.Columns[1].Kind)
			require.Equal(t, "the `value", tab.Columns[1].Name)
			require.True(t, tab.Columns[1].Nullable)
			rows, _ := readAll(t, tab, 1000)
			require.Equal(t, want, texts(tab.Columns, rows))
		})
	}
}

// Side by side in one CONCAT_WS, types and character sets could convert each other.
// The server's checksum takes a clock's text as it prints it: with as many digits after the second
// as the column has, trailing zeros among them.
func TestClocksOfEveryFractionHaveTheServersChecksum(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	for fraction := range 7 {
		digits := func(d string) string { return strings.TrimSuffix("."+d[:fraction], ".") }
		columns, create := []string{"DATETIME", "TIMESTAMP", "TIME"}, []string{"id INT PRIMARY KEY"}
		for i, c := range columns {
			create = append(create, fmt.Sprintf("c%d %s(%d) NULL", i, c, fraction))
		}
		table := fmt.Sprintf("clocks%d", fraction)
		db.Exec(t, "CREATE TABLE "+table+" ("+strings.Join(create, ", ")+")")
		want := [][]string{
			{"1", "1000-01-01 00:00:00" + digits("000000"), "1970-01-01 00:00:01" + digits("000000"), "-838:59:59" + digits("000000")},
			{"2", "9999-12-31 23:59:59" + digits("999999"), "2038-01-19 03:14:07" + digits("999999"), "838:59:58" + digits("999999")},
			{"3", "1969-12-31 23:59:59" + digits("100000"), "2021-10-31 01:30:00" + digits("120000"), "-00:00:01" + digits("500000")},
			{"4", "2020-02-29 00:00:00" + digits("000001"), "2000-02-29 12:00:00" + digits("000100"), "100:00:00" + digits("000001")},
			{"5", "NULL", "NULL", "NULL"},
		}
		for _, row := range want {
			db.Exec(t, "INSERT INTO "+table+" "+strings.ReplaceAll("VALUES ('"+strings.Join(row, "', '")+"')", "'NULL'", "NULL"))
		}
		for _, policy := range []mysqltable.ZeroDates{mysqltable.FailOnZeroDates, mysqltable.NullZeroDates} {
			tab := open(t, db, table, mysqltable.Options{ZeroDates: policy})
			rows, _ := readAll(t, tab, 10)
			require.Equal(t, want, texts(tab.Columns, rows))
		}
	}
}

// Every day of the calendar's period of 400 years, the last days there are, and times of day spread over them.
func TestEveryDayIsReadAsTheServerMeansIt(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE days (id INT PRIMARY KEY, d DATE NOT NULL, at DATETIME(6) NOT NULL)", // 0001-01-01 is day 366
		"INSERT INTO days SELECT seq, FROM_DAYS(366 + seq), FROM_DAYS(366 + seq) + INTERVAL seq * 7919 * 1000003 % 86400000000 MICROSECOND FROM (SELECT seq FROM seq_0_to_146097 UNION SELECT seq FROM seq_3652000_to_3652058) s")
	table := open(t, db, "days", strict)
	sum, first := checksum.New(table.Columns), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()/86400
	_, err := table.Read(context.Background(), mysqltable.Range{}, 4_000_000, func(row schema.Row, crc uint32) error {
		if got := sum.Add(row); got != crc || row[1].Int != first+row[0].Int || row[2].Int != row[1].Int*86400e6+row[0].Int*7919*1000003%86400000000 {
			return fmt.Errorf("%s: day %d, micros %d, crc %d, the server's %d", table.RowName(row), row[1].Int, row[2].Int, got, crc)
		}
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 146098+59, sum.Sum().Rows)
}

func TestAllTypesInOneRowHaveTheServersChecksum(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	var columns, values []string
	for i, c := range matrix {
		for sql := range c.values {
			columns, values = append(columns, fmt.Sprintf("c%d %s NOT NULL", i, c.columnType)), append(values, sql)
			break
		}
	}
	columns = append(columns, "u1 VARCHAR(5) COLLATE utf8mb4_bin", "u2 VARCHAR(5) CHARACTER SET utf8mb3 NOT NULL", "a VARCHAR(5) CHARACTER SET ascii COLLATE ascii_bin")
	values = append(values, "'é'", "'ü'", "'x'")
	db.Exec(t, "CREATE TABLE wide ("+strings.Join(columns, ", ")+")", "INSERT INTO wide VALUES ("+strings.Join(values, ", ")+")")
	rows, _ := readAll(t, open(t, db, "wide", strict), 10)
	require.Len(t, rows, 1)
}

func TestTypesThatCannotBeCarriedAreRefusedWithARemedy(t *testing.T) {
	t.Parallel()
	for _, columnType := range []string{"vector(3)", "tsvector", "type of tomorrow"} {
		_, err := mysqltable.Column("embedding", columnType, false)
		require.ErrorIs(t, err, mysqltable.ErrUnsupported)
		for _, part := range []string{"column embedding: type " + columnType, "docs/types.md", "view", "VEC_ToText"} {
			require.ErrorContains(t, err, part)
		}
	}
}

func TestEveryGeometryKeepsItsReferenceSystem(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	shapes := map[string]string{
		"point": "POINT(1 2)", "linestring": "LINESTRING(0 0,1 1)", "polygon": "POLYGON((0 0,1 0,1 1,0 0))", "multipoint": "MULTIPOINT(0 0,1 1)",
		"multilinestring": "MULTILINESTRING((0 0,1 1))", "multipolygon": "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))", "geometrycollection": "GEOMETRYCOLLECTION(POINT(1 2))", "geometry": "POINT(1 2)",
	}
	for name, text := range shapes {
		db.Exec(t, "CREATE TABLE "+name+"s (id INT PRIMARY KEY, g "+name+" NOT NULL)", "INSERT INTO "+name+"s VALUES (1, ST_GeomFromText('"+text+"', 4326))")
		table := open(t, db, name+"s", strict)
		require.Equal(t, name, table.Columns[1].Source)
		rows, _ := readAll(t, table, 10)
		var wkb []byte
		require.NoError(t, db.DB.QueryRow("SELECT ST_AsWKB(g) FROM "+name+"s").Scan(&wkb))
		require.Equal(t, append(binary.LittleEndian.AppendUint32(nil, 4326), wkb...), rows[0][1].Bytes, name)
	}
}

func TestEveryWidthOfBits(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	create, values, want := []string{"id INT PRIMARY KEY"}, []string{"0"}, []string{"0"}
	for bits := 1; bits <= 64; bits++ {
		highest := ^uint64(0) >> (64 - bits)
		create = append(create, fmt.Sprintf("b%d BIT(%d) NULL", bits, bits))
		values, want = append(values, fmt.Sprint(highest)), append(want, fmt.Sprint(highest))
	}
	db.Exec(t, "CREATE TABLE bits ("+strings.Join(create, ", ")+")", "INSERT INTO bits VALUES ("+strings.Join(values, ", ")+")", "INSERT INTO bits (id, b9) VALUES (1, 256)")
	table := open(t, db, "bits", strict)
	rows, _ := readAll(t, table, 10)
	got := texts(table.Columns, rows)
	require.Equal(t, want, got[0])
	require.Equal(t, []string{"256", "NULL"}, got[1][9:11])
}

func TestGeneratedColumnsAndAnyNameAreRead(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE `order` (`select` INT, `größe (cm)` DECIMAL(5,1), `a``b ?` INT AS (`select` * 2) VIRTUAL, `漢字` VARCHAR(20) AS (CONCAT('n', `select`)) STORED, "+
		"`.` INT NOT NULL INVISIBLE DEFAULT 7, `%s` DATE, PRIMARY KEY (`select`, `.`))",
		"INSERT INTO `order` (`select`, `größe (cm)`, `%s`) VALUES (1, 1.5, '2020-01-01'), (2, NULL, NULL), (3, 0, NULL)")
	table := open(t, db, "order", strict)
	require.Equal(t, []string{"select", "größe (cm)", "a`b ?", "漢字", ".", "%s"}, schema.Names(table.Columns))
	rows, chunks := readAll(t, table, 1)
	require.Equal(t, 3, chunks)
	require.Equal(t, [][]string{{"1", "1.5", "2", "n1", "7", "2020-01-01"}, {"2", "NULL", "4", "n2", "7", "NULL"}, {"3", "0.0", "6", "n3", "7", "NULL"}}, texts(table.Columns, rows))
}

// MariaDB lets lone surrogates into utf8mb3 and utf8mb4, any byte into ascii, and bytes without a
// character into others, and shows what it cannot convert as a question mark.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	for name, c := range map[string]struct{ charset, bytes string }{
		"surrogate in utf8mb4":      {"utf8mb4", "41EDA08042"},
		"surrogate in utf8mb3":      {"utf8mb3", "EDA080"},
		"byte in ascii":             {"ascii", "41E942"},
		"byte without a character":  {"greek", "41D242"},
		"bytes without a character": {"sjis", "418540"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := strings.ReplaceAll(name, " ", "_")
			db.Exec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET "+c.charset+" NOT NULL, stars INT)",
				"INSERT INTO "+table+" VALUES (1, 'fine?', 5), (2, 0x"+c.bytes+", 4), (3, '', NULL)")
			var stored string
			require.NoError(t, db.DB.QueryRow("SELECT HEX(name) FROM "+table+" WHERE id = 2").Scan(&stored))
			require.Equal(t, c.bytes, stored, "the server lets it in")

			_, err := open(t, db, table, strict).Read(context.Background(), mysqltable.Range{}, 10, func(schema.Row, uint32) error { return nil })
			for _, part := range []string{"table " + table, "column name", "row id = 2", "not valid UTF-8", "invalid_text"} {
				require.ErrorContains(t, err, part)
			}
			tab := open(t, db, table, mysqltable.Options{InvalidText: mysqltable.NullInvalidText})
			require.True(t, tab.Columns[1].Nullable)
			rows, chunks := readAll(t, tab, 1)
			require.Equal(t, 3, chunks)
			require.Equal(t, [][]string{{"1", "fine?", "5"}, {"2", "NULL", "4"}, {"3", "", "NULL"}}, texts(tab.Columns, rows))
			require.Equal(t, map[string]int64{"name": 1}, tab.InvalidText(), "counted once")
		})
	}
	t.Run("in a key always fails", func(t *testing.T) {
		t.Parallel()
		db.Exec(t, "CREATE TABLE keyed (name VARCHAR(20) PRIMARY KEY)", "INSERT INTO keyed VALUES (0x41EDA08042)")
		tab := open(t, db, "keyed", mysqltable.Options{InvalidText: mysqltable.NullInvalidText})
		_, err := tab.Read(context.Background(), mysqltable.Range{}, 10, func(schema.Row, uint32) error { return nil })
		require.ErrorContains(t, err, "column name, row name = 0x41eda08042: its text (0x41eda08042) is not valid UTF-8")
	})
}

// A text that is invalid only because it was altered on the way is a difference, not a NULL.
func TestTextDamagedOnTheWayIsADifference(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE cities (id INT PRIMARY KEY, name VARCHAR(20))", "INSERT INTO cities VALUES (1, 'Orléans')")
	cfg := db.Config()
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &altered{conn, []byte("Orl\xc3\xa9ans"), []byte("Orl\xc3\x28ans")}, err
	}
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	defer server.Close()
	snapshot, err := server.Snapshot(context.Background())
	require.NoError(t, err)
	defer snapshot.Close()
	table, err := snapshot.Table(context.Background(), "cities", mysqltable.Options{InvalidText: mysqltable.NullInvalidText})
	require.NoError(t, err)
	_, err = table.Read(context.Background(), mysqltable.Range{}, 10, func(row schema.Row, crc uint32) error {
		require.NotEqual(t, crc, checksum.New(table.Columns).Add(row))
		return nil
	})
	require.NoError(t, err)
}

// A FLOAT's or DOUBLE's text is computed twice, by the server and by schema.AppendText: random
// bit patterns must give the same checksum, and the very same number.
func TestRandomFloatsAreReadExactlyAndHaveTheServersChecksum(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE floats (id INT PRIMARY KEY, f FLOAT NOT NULL, d DOUBLE NOT NULL)")
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	insert, err := db.DB.Prepare("INSERT INTO floats VALUES (?, ?, ?)")
	require.NoError(t, err)
	defer insert.Close()
	var want []schema.Row
	for i := range 3000 {
		f, d := math.Float32frombits(random.Uint32()), math.Float64frombits(random.Uint64())
		if i%3 == 0 { // numbers as shops have them
			f, d = float32(random.IntN(1e7))/100, float64(random.Int64N(1e15))/1000
		}
		if f != f || math.IsInf(float64(f), 0) || math.IsNaN(d) || math.IsInf(d, 0) {
			continue
		}
		_, err := insert.Exec(i, f, d)
		require.NoError(t, err)
		want = append(want, schema.Row{{Int: int64(i)}, {Float: float64(f)}, {Float: d}})
	}
	table := open(t, db, "floats", strict)
	got, _ := readAll(t, table, 500)
	require.Equal(t, want, got, "seed %d", seed)
}

func TestDatesThatNoCalendarHas(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, shipped DATE NOT NULL, at DATETIME(3) NOT NULL, seen TIMESTAMP NULL)",
		"INSERT INTO orders VALUES (1, '0000-00-00', '2020-00-15 01:02:03', '0000-00-00'), (2, '2020-01-00', '2020-01-01', NULL), (3, '2020-01-01', '0000-01-01', '2020-01-01')")

	t.Run("fail by default, naming column, row and remedy", func(t *testing.T) {
		t.Parallel()
		table := open(t, db, "orders", strict)
		require.False(t, table.Columns[1].Nullable)
		_, err := table.Read(context.Background(), mysqltable.Range{}, 10, func(schema.Row, uint32) error { return nil })
		for _, part := range []string{"table orders", "column shipped", "row id = 1", `"0000-00-00"`, "zero_dates"} {
			require.ErrorContains(t, err, part)
		}
	})
	t.Run("become NULL and are counted if the table says so", func(t *testing.T) {
		t.Parallel()
		table := open(t, db, "orders", mysqltable.Options{ZeroDates: mysqltable.NullZeroDates})
		require.True(t, table.Columns[1].Nullable)
		rows, _ := readAll(t, table, 1) // a zero date beyond a chunk's end is the next one's
		require.Equal(t, [][]string{
			{"1", "NULL", "NULL", "NULL"},
			{"2", "NULL", "2020-01-01 00:00:00.000", "NULL"},
			{"3", "2020-01-01", "NULL", "2020-01-01 00:00:00"},
		}, texts(table.Columns, rows))
		require.Equal(t, map[string]int64{"shipped": 2, "at": 2, "seen": 1}, table.ZeroDates())
	})
	t.Run("an invalid day is never another day", func(t *testing.T) {
		t.Parallel()
		db.Exec(t, "CREATE TABLE leap (id INT PRIMARY KEY, born DATE)", "INSERT INTO leap VALUES (7, '2023-02-30'), (8, '1900-02-29'), (9, '2023-04-31'), (10, '2023-02-29')")
		for id, born := range map[int]string{7: "2023-02-30", 8: "1900-02-29", 9: "2023-04-31", 10: "2023-02-29"} {
			table := open(t, db, "leap", mysqltable.Options{ZeroDates: mysqltable.NullZeroDates})
			_, err := table.Read(context.Background(), mysqltable.Range{From: []string{fmt.Sprint(id)}}, 10, func(schema.Row, uint32) error { return nil })
			require.ErrorContains(t, err, fmt.Sprintf("column born, row id = %d: %q is a date that no calendar has", id, born))
		}
	})
}
