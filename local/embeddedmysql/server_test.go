package embeddedmysql_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/embeddedmysql"
	"github.com/millrace/millrace/local/seed"
)

// setup returns the DSN of a server without tables and a database opened with it.
func setup(t *testing.T) (dsn string, db *sql.DB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, err := embeddedmysql.New(listener, embeddedmysql.Account{Database: "shop", User: "shop", Password: "secret"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	dsn = "shop:secret@tcp(" + listener.Addr().String() + ")/shop"
	db, err = sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() {
		db.Close()
		stop()
		require.NoError(t, <-served)
	})
	return dsn, db
}

func TestAWrongPasswordIsRefusedAsByMySQL(t *testing.T) {
	t.Parallel()
	dsn, _ := setup(t)
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	config.Passwd = "wrong"
	db, err := sql.Open("mysql", config.FormatDSN())
	require.NoError(t, err)
	defer db.Close()
	var refused *mysql.MySQLError
	require.True(t, errors.As(db.Ping(), &refused))
	require.Equal(t, uint16(1045), refused.Number)
}

// The sums are those of MariaDB 10.11 for the same rows and statements.
func TestContentChecksumsAreThoseOfARealServer(t *testing.T) {
	t.Parallel()
	_, db := setup(t)
	_, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)
	for _, c := range []struct {
		table, text, crc, squares string
		rows                      int
	}{
		{
			"customers", `IFNULL(CAST(customerNumber AS CHAR), X'00'), IFNULL(CAST(customerName AS CHAR), X'00'), IFNULL(CAST(city AS CHAR), X'00'),
				IFNULL(CAST(state AS CHAR), X'00'), IFNULL(CAST(postalCode AS CHAR), X'00'), IFNULL(CAST(creditLimit AS CHAR), X'00')`,
			"269510922927", "783033227166709075267", 122,
		},
		{
			"orders", `IFNULL(CAST(orderNumber AS CHAR), X'00'), IFNULL(DATE_FORMAT(orderDate,'%Y-%m-%d'), X'00'),
				IFNULL(DATE_FORMAT(shippedDate,'%Y-%m-%d'), X'00'), IFNULL(CAST(status AS CHAR), X'00')`,
			"686213395442", "1919166909214686277258", 326,
		},
		{
			"orderdetails", `IFNULL(CAST(orderNumber AS CHAR), X'00'), IFNULL(CAST(productCode AS CHAR), X'00'), IFNULL(CAST(priceEach AS CHAR), X'00')`,
			"6333716194877", "18036766815813923475231", 2996,
		},
	} {
		var rows int
		var crc, squares string
		require.NoError(t, db.QueryRow(`SELECT COUNT(*), CAST(SUM(CAST(c AS DECIMAL(20,0))) AS CHAR), CAST(SUM(CAST(c*c AS DECIMAL(20,0))) AS CHAR)
			FROM (SELECT CRC32(CONCAT_WS(X'1F', `+c.text+`)) AS c FROM `+c.table+`) x`).Scan(&rows, &crc, &squares), c.table)
		require.Equal(t, c.rows, rows, c.table)
		require.Equal(t, c.crc, crc, c.table)
		require.Equal(t, c.squares, squares, c.table)
	}
}

func TestTablesCanBeIntrospected(t *testing.T) {
	t.Parallel()
	_, db := setup(t)
	_, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)

	read := func(query string, args ...any) (all [][3]string) {
		rows, err := db.Query(query, args...)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var r [3]string
			require.NoError(t, rows.Scan(&r[0], &r[1], &r[2]))
			all = append(all, r)
		}
		require.NoError(t, rows.Err())
		return all
	}
	require.Equal(t, [][3]string{
		{"orderNumber", "int", "NO"}, {"orderDate", "date", "NO"}, {"requiredDate", "date", "NO"}, {"shippedDate", "date", "YES"},
		{"status", "varchar", "NO"}, {"customerNumber", "int", "NO"},
	}, read(`SELECT column_name, data_type, is_nullable FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position`, "orders"))
	require.Equal(t, [][3]string{{"buyPrice", "10", "2"}, {"MSRP", "10", "2"}},
		read(`SELECT column_name, CAST(numeric_precision AS CHAR), CAST(numeric_scale AS CHAR) FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = 'products' AND data_type = 'decimal' ORDER BY ordinal_position`))
	key := [][3]string{{"orderNumber", "PRIMARY", "1"}, {"productCode", "PRIMARY", "2"}}
	require.Equal(t, key, read(`SELECT column_name, constraint_name, CAST(ordinal_position AS CHAR) FROM information_schema.key_column_usage
		WHERE table_schema = DATABASE() AND table_name = 'orderdetails' ORDER BY ordinal_position`))
	require.Equal(t, key, read(`SELECT column_name, index_name, CAST(seq_in_index AS CHAR) FROM information_schema.statistics
		WHERE table_schema = DATABASE() AND table_name = 'orderdetails' ORDER BY seq_in_index`))
	require.Equal(t, [][3]string{{"ratings", "BASE TABLE", "3649"}}, read(`SELECT table_name, table_type, CAST(table_rows AS CHAR)
		FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'ratings'`))
}

func TestAReadOnlyTransactionKeepsSeeingATableAsItWas(t *testing.T) {
	t.Parallel()
	_, db := setup(t)
	_, err := db.Exec("CREATE TABLE stock (id INT NOT NULL PRIMARY KEY, pieces INT)")
	require.NoError(t, err)
	_, err = db.Exec("INSERT INTO stock VALUES (1, 10), (2, 20)")
	require.NoError(t, err)

	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	require.NoError(t, err)
	defer tx.Rollback()
	count := func(q interface {
		QueryRow(string, ...any) *sql.Row
	}) (rows, pieces int) {
		require.NoError(t, q.QueryRow("SELECT COUNT(*), CAST(SUM(pieces) AS SIGNED) FROM stock").Scan(&rows, &pieces))
		return rows, pieces
	}
	count(tx)
	_, err = db.Exec("INSERT INTO stock VALUES (3, 30)")
	require.NoError(t, err)
	_, err = db.Exec("UPDATE stock SET pieces = 0 WHERE id = 1")
	require.NoError(t, err)

	rows, pieces := count(tx)
	require.Equal(t, [2]int{2, 30}, [2]int{rows, pieces}, "inside the transaction")
	rows, pieces = count(db)
	require.Equal(t, [2]int{3, 50}, [2]int{rows, pieces}, "outside")
}
