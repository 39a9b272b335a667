package seed_test

import (
	"context"
	"database/sql"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/embeddedmysql"
	"github.com/millrace/millrace/local/seed"
)

// setup returns an empty database: of the embedded server, or of the server in SEED_TEST_DSN, whose database is then dropped and created.
func setup(t *testing.T) *sql.DB {
	t.Helper()
	if dsn := os.Getenv("SEED_TEST_DSN"); dsn != "" {
		config, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		name := config.DBName
		config.DBName = ""
		server, err := sql.Open("mysql", config.FormatDSN())
		require.NoError(t, err)
		defer server.Close()
		_, err = server.Exec("DROP DATABASE IF EXISTS " + name)
		require.NoError(t, err)
		_, err = server.Exec("CREATE DATABASE " + name)
		require.NoError(t, err)
		return open(t, dsn)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, err := embeddedmysql.New(listener, embeddedmysql.Account{Database: "shop", User: "shop", Password: "secret"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	return open(t, "shop:secret@tcp("+listener.Addr().String()+")/shop")
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// The numbers are golden: other tests and the documentation name them.
func TestLoadFillsTheSameShopEveryTime(t *testing.T) {
	db := setup(t)
	results, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)
	require.Equal(t, []seed.Result{
		{"customers", 122, true}, {"products", 110, true}, {"orders", 326, true}, {"orderdetails", 2996, true}, {"ratings", 3649, true},
	}, results)

	for query, want := range map[string]string{
		`SELECT CAST(SUM(productRating) AS CHAR) FROM ratings`:                                                                            "11145",
		`SELECT COUNT(DISTINCT customerNumber) FROM ratings`:                                                                              "98",
		`SELECT COUNT(DISTINCT productCode) FROM ratings`:                                                                                 "107",
		`SELECT CAST(SUM(creditLimit) AS CHAR) FROM customers`:                                                                            "8254400.00",
		`SELECT COUNT(*) FROM customers WHERE state IS NULL`:                                                                              "73",
		`SELECT CAST(SUM(buyPrice) AS CHAR) FROM products`:                                                                                "5983.47",
		`SELECT COUNT(*) FROM orders WHERE shippedDate IS NULL`:                                                                           "14",
		`SELECT CAST(SUM(priceEach * quantityOrdered) AS CHAR) FROM orderdetails`:                                                         "9604190.61",
		`SELECT city FROM customers WHERE customerNumber = 144`:                                                                           "Luleå",
		`SELECT CAST(SUM(CAST(CRC32(CONCAT_WS('|', customerNumber, productCode, productRating)) AS DECIMAL(20,0))) AS CHAR) FROM ratings`: "7880846014193",
	} {
		var got string
		require.NoError(t, db.QueryRow(query).Scan(&got), query)
		require.Equal(t, want, got, query)
	}
}

func TestLoadNeverTouchesATableThatExists(t *testing.T) {
	db := setup(t)
	_, err := db.Exec("CREATE TABLE products (mine INT NOT NULL PRIMARY KEY)")
	require.NoError(t, err)
	_, err = db.Exec("INSERT INTO products VALUES (7)")
	require.NoError(t, err)

	results, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)
	require.Equal(t, seed.Result{Table: "products", Rows: 1}, results[1])
	var mine int
	require.NoError(t, db.QueryRow("SELECT mine FROM products").Scan(&mine))
	require.Equal(t, 7, mine)

	results, err = seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)
	for _, r := range results {
		require.False(t, r.Created, "table %s was created a second time", r.Table)
	}
}

func TestRatingsAreABelievableFunctionOfTheOrders(t *testing.T) {
	t.Parallel()
	tables, err := seed.Tables()
	require.NoError(t, err)
	type pair struct{ customer, product string }
	customerOf, bought := map[string]string{}, map[pair]bool{}
	for _, order := range tables[2].Rows {
		customerOf[order[0].(string)] = order[5].(string)
	}
	for _, line := range tables[3].Rows {
		bought[pair{customerOf[line[0].(string)], line[1].(string)}] = true
	}
	stars, wished := map[int]int{}, 0
	for _, r := range ratings(t, tables[4]) {
		stars[r.Stars]++
		if !bought[pair{strconv.Itoa(r.Customer), r.Product}] {
			wished++
		}
	}
	require.Len(t, stars, 5, "stars from 1 to 5 are given")
	for s := 1; s <= 5; s++ {
		require.Greater(t, stars[s], 300, "%d stars are given", s)
	}
	require.InDelta(t, 1.0/4, float64(wished)/float64(len(tables[4].Rows)), 0.1, "about a quarter of the ratings is taste beyond the orders")
}

func TestNextDayChangesTheShopOnce(t *testing.T) {
	db := setup(t)
	_, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)

	changes, err := seed.NextDay(t.Context(), db)
	require.NoError(t, err)
	require.Len(t, changes.Customers.Rows, 1)
	require.Len(t, changes.Products.Rows, 22)
	counts := func() (n [3]int, stock int) {
		for i, table := range []string{"customers", "products", "ratings"} {
			require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n[i]))
		}
		require.NoError(t, db.QueryRow("SELECT CAST(SUM(quantityInStock) AS SIGNED) FROM products").Scan(&stock))
		return n, stock
	}
	after, stock := counts()
	require.Equal(t, [3]int{123, 110, 3649 + len(changes.Ratings.Rows)}, after, "every rating is a new row, no product is")
	require.Less(t, stock, 555131, "stock was sold")

	_, err = seed.NextDay(t.Context(), db)
	require.NoError(t, err)
	again, stockAgain := counts()
	require.Equal(t, after, again)
	require.Equal(t, stock, stockAgain)
}
