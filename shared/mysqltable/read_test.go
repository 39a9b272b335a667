package mysqltable_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

func TestChunksOfAnyKeyCoverTheTableOnceInOrder(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	for name, c := range map[string]struct {
		columns string
		key     []string
		rows    []string
	}{
		"sparse integers":         {"id BIGINT PRIMARY KEY", []string{"id"}, []string{"1", "-9223372036854775808", "100000000000000", "7", "9223372036854775807"}},
		"unsigned beyond int64":   {"id BIGINT UNSIGNED PRIMARY KEY", []string{"id"}, []string{"18446744073709551615", "18446744073709551614", "0", "9223372036854775808"}},
		"composite":               {"a INT, b VARCHAR(10), c DATE, PRIMARY KEY (b, a, c)", []string{"b", "a", "c"}, []string{"1,'x','2020-01-01'", "1,'x','2020-01-02'", "2,'x','2020-01-01'", "1,'y','2019-01-01'", "3,'a','2020-01-01'"}},
		"case-insensitive text":   {"k VARCHAR(10) COLLATE utf8mb4_unicode_ci PRIMARY KEY", []string{"k"}, []string{"'b'", "'A'", "'ä1'", "'C'", "'é'", "'Z'", "'🧵'", "''", "'z ä'"}},
		"latin1 text":             {"k VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY", []string{"k"}, []string{"'b'", "'Ä'", "'Müller'", "'ß'", "'z'"}},
		"uuid as binary":          {"k BINARY(16) PRIMARY KEY", []string{"k"}, []string{"X'C328'", "X'00'", "X'FF'", "X'7F27'", "X'5C'"}},
		"decimal beyond a double": {"k DECIMAL(40,2) PRIMARY KEY", []string{"k"}, []string{"12345678901234567890123.01", "12345678901234567890123.02", "12345678901234567890123.03", "-1"}},
		"datetime":                {"k DATETIME(6) PRIMARY KEY", []string{"k"}, []string{"'2020-01-01 00:00:00.000001'", "'2020-01-01 00:00:00.000002'", "'1999-01-01'"}},
		"timestamp":               {"k TIMESTAMP(3) PRIMARY KEY DEFAULT '2020-01-01'", []string{"k"}, []string{"'2021-10-31 00:30:00'", "'2021-10-31 01:30:00.001'", "'2021-10-31 01:30:00.002'"}},
		"uuid":                    {"k UUID PRIMARY KEY", []string{"k"}, []string{"'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000001'", "'ffffffff-0000-1000-8000-000000000000'", "'7d444840-9dc0-11d1-b245-5ffdce74fad2'"}},
		"inet6":                   {"k INET6 PRIMARY KEY", []string{"k"}, []string{"'::1'", "'10.0.0.1'", "'2001:db8::1'", "'ff::'"}},
		"ascii text":              {"k CHAR(5) CHARACTER SET ascii PRIMARY KEY", []string{"k"}, []string{"'b'", "'A'", "'c?'"}},
		"sjis text":               {"k VARCHAR(5) CHARACTER SET sjis PRIMARY KEY", []string{"k"}, []string{"'日本'", "'A?'", "'語'"}},
		"unique key":              {"a INT NOT NULL, b INT NOT NULL, u VARCHAR(5) NOT NULL, n INT UNIQUE, UNIQUE (a, b), UNIQUE (u)", []string{"u"}, []string{"1,1,'a',NULL", "1,2,'b',NULL", "2,1,'c',5"}},
		"enum key is no key":      {"k ENUM('z','a') PRIMARY KEY", nil, []string{"'a'", "'z'"}},
		"prefix key is no key":    {"k VARCHAR(20) NOT NULL, UNIQUE (k(2))", nil, []string{"'abc'", "'bbc'"}},
		"no key":                  {"k INT", nil, []string{"1", "1", "NULL"}},
		"no rows":                 {"id INT PRIMARY KEY", []string{"id"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := strings.NewReplacer(" ", "_", "-", "_").Replace(name)
			db.Exec(t, fmt.Sprintf("CREATE TABLE %s (%s)", table, c.columns))
			for _, row := range c.rows {
				db.Exec(t, fmt.Sprintf("INSERT INTO %s VALUES (%s)", table, row))
			}
			tab := open(t, db, table, strict)
			require.Equal(t, c.key, tab.Key)
			rows, chunks := readAll(t, tab, 1)
			if c.key == nil {
				require.Equal(t, 1, chunks)
			} else {
				require.Equal(t, max(1, len(c.rows)), chunks)
			}
			whole, _ := readAll(t, tab, 1000)
			require.Len(t, whole, len(c.rows))
			require.Equal(t, texts(tab.Columns, whole), texts(tab.Columns, rows))
		})
	}
}

// The condition on a composite key must be a range on its index: as a row constructor it would
// read the whole table for each chunk.
func TestChunkIsReadByTheIndex(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE big (a INT, b VARCHAR(10), v INT, PRIMARY KEY (a, b))",
		"INSERT INTO big SELECT seq DIV 10, CONCAT('k', seq), seq FROM seq_1_to_50000", "ANALYZE TABLE big", "FLUSH STATUS")
	table := open(t, db, "big", strict)
	before := handlerReads(t, table)
	n := 0
	from := []string{"2500", "k25000"}
	next, err := table.Read(context.Background(), mysqltable.Range{From: from}, 100, func(schema.Row, uint32) error { n++; return nil })
	require.NoError(t, err)
	require.Equal(t, 100, n)
	_, err = table.Checksum(context.Background(), mysqltable.Range{From: from, To: next})
	require.NoError(t, err)
	require.Less(t, handlerReads(t, table)-before, int64(1000), "rows the server looked at for two queries over 100 rows")
}

// handlerReads is how many rows the server has looked at on this connection.
func handlerReads(t *testing.T, table *mysqltable.Table) (reads int64) {
	t.Helper()
	require.NoError(t, mysqltable.Handlers(context.Background(), table, &reads))
	return reads
}

func TestOtherWritersDoNotShowInASnapshot(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE ratings (id INT PRIMARY KEY, stars INT)", "INSERT INTO ratings VALUES (1,1),(2,2),(3,3),(4,4)")
	table := open(t, db, "ratings", strict)
	first := []schema.Row{}
	next, err := table.Read(context.Background(), mysqltable.Range{}, 2, func(row schema.Row, _ uint32) error { first = append(first, row.Clone()); return nil })
	require.NoError(t, err)
	db.Exec(t, "DELETE FROM ratings WHERE id = 3", "UPDATE ratings SET stars = 9", "INSERT INTO ratings VALUES (5,5)")
	second, _ := readAll(t, table, 100)
	require.Equal(t, []string{"3"}, next)
	require.Equal(t, [][]string{{"1", "1"}, {"2", "2"}, {"3", "3"}, {"4", "4"}}, texts(table.Columns, second))
	require.Equal(t, texts(table.Columns, second[:2]), texts(table.Columns, first))
}

func TestInvalidTextNamesColumnAndRow(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE cities (country CHAR(2), id INT, name VARCHAR(20), PRIMARY KEY (country, id))",
		"INSERT INTO cities VALUES ('BR', 1, 'São Paulo'), ('FR', 2, 'Orléans')")
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
	table, err := snapshot.Table(context.Background(), "cities", strict)
	require.NoError(t, err)
	_, err = table.Read(context.Background(), mysqltable.Range{}, 10, func(schema.Row, uint32) error { return nil })
	for _, part := range []string{"table cities", "column name", `row country = "FR", id = 2`, "not valid UTF-8", "0x4f726cc328616e73"} {
		require.ErrorContains(t, err, part)
	}
}

// altered is a connection on which some bytes arrive as others.
type altered struct {
	net.Conn
	sent, arrives []byte
}

func (a *altered) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], a.sent, a.arrives))
	return n, err
}

func TestFailuresSayWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE secretive (id INT PRIMARY KEY)",
		"CREATE USER '{database}'@'localhost' IDENTIFIED BY 'hunter2'", "CREATE TABLE open_to_all (id INT PRIMARY KEY)",
		"GRANT SELECT ON {database}.open_to_all TO '{database}'@'localhost'")
	attempt := func(user, password, database, address, table string) error {
		cfg := db.Config()
		cfg.User, cfg.Passwd, cfg.DBName = user, password, database
		if address != "" {
			cfg.Net, cfg.Addr = "tcp", address
		}
		server, err := mysqltable.Open(cfg)
		if err != nil {
			return err
		}
		defer server.Close()
		snapshot, err := server.Snapshot(context.Background())
		if err != nil {
			return err
		}
		defer snapshot.Close()
		_, err = snapshot.Table(context.Background(), table, strict)
		return err
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"wrong password":     {attempt(db.Name, "hunter3", db.Name, "", "open_to_all"), []string{"refuses the user", "username and password", "secret"}},
		"unknown database":   {attempt("root", "", "nowhere", "", "t"), []string{`no database "nowhere"`, "dbname"}},
		"no database":        {attempt("root", "", "", "", "t"), []string{"no database is named"}},
		"forbidden database": {attempt(db.Name, "hunter2", "mysql", "", "t"), []string{"GRANT SELECT"}},
		"forbidden table":    {attempt(db.Name, "hunter2", db.Name, "", "secretive"), []string{"table secretive", "GRANT SELECT ON `" + db.Name + "`.`secretive`"}},
		"unknown table":      {attempt("root", "", db.Name, "", "payments"), []string{`no table "payments"`, "dataset"}},
		"unreachable":        {attempt("root", "hunter2", db.Name, closed.Addr().String(), "t"), []string{closed.Addr().String() + " cannot be reached", "security group"}},
	} {
		require.Error(t, c.err, name)
		for _, part := range c.want {
			require.ErrorContains(t, c.err, part, name)
		}
		require.NotContains(t, c.err.Error(), "hunter", name)
	}
	require.NoError(t, attempt(db.Name, "hunter2", db.Name, "", "open_to_all"))

	_, err = mysqltable.ParseDSN("u:hunter2@tcp(127.0.0.1:3306)")
	require.ErrorContains(t, err, "user:password@tcp(host:port)/database")
	require.NotContains(t, err.Error(), "hunter2")
}

// 70 MB of text in a row exceed the server's max_allowed_packet of 64 MiB.
func TestRowTooLongForTheServersChecksumSaysWhatToRaise(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE books (id INT PRIMARY KEY, a LONGTEXT, b LONGTEXT)", "INSERT INTO books VALUES (1, REPEAT('x', 35000000), REPEAT('y', 35000000))")
	_, err := open(t, db, "books", strict).Checksum(context.Background(), mysqltable.Range{})
	require.ErrorContains(t, err, "table books: checksum: 1 rows are longer than the server's max_allowed_packet: raise it")
}

func TestEngineWithoutSnapshotsIsKnown(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE a (id INT PRIMARY KEY) ENGINE=InnoDB", "CREATE TABLE b (id INT PRIMARY KEY) ENGINE=MyISAM", "CREATE VIEW c AS SELECT * FROM a")
	var got []bool
	for table := range slices.Values([]string{"a", "b", "c"}) {
		got = append(got, open(t, db, table, strict).Transactional)
	}
	require.Equal(t, []bool{true, false, false}, got)
}
