// Package seed fills a MySQL database with the demo's shop: the classicmodels facts and ratings generated from its order lines.
package seed

import (
	"bytes"
	"embed"
	"encoding/csv"
	"fmt"
)

//go:embed data/*.csv schema.sql
var files embed.FS

// Table is one table's name, its columns in order and its rows; nil is NULL, every other value is text that MySQL converts.
type Table struct {
	Name    string
	Columns []string
	Rows    [][]any
}

// Tables returns all tables of the shop, the same ones at every call.
func Tables() ([]Table, error) {
	var tables []Table
	for _, name := range []string{"customers", "products", "orders", "orderdetails"} {
		t, err := readTable(name)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	shop, err := newShop(tables)
	if err != nil {
		return nil, err
	}
	return append(tables, ratingsTable(shop.ratings())), nil
}

func readTable(name string) (Table, error) {
	data, err := files.ReadFile("data/" + name + ".csv")
	if err != nil {
		return Table{}, fmt.Errorf("seed: table %s: %w", name, err)
	}
	records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return Table{}, fmt.Errorf("seed: table %s: %w", name, err)
	}
	t := Table{Name: name, Columns: records[0]}
	for _, record := range records[1:] {
		row := make([]any, len(record))
		for i, field := range record {
			if field != "" { // the files write NULL as an empty field; no text of the shop is empty
				row[i] = field
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func ratingsTable(ratings []Rating) Table {
	t := Table{Name: "ratings", Columns: []string{"customerNumber", "productCode", "productRating"}}
	for _, r := range ratings {
		t.Rows = append(t.Rows, []any{r.Customer, r.Product, r.Stars})
	}
	return t
}
