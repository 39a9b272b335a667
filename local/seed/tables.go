// Package seed fills a MySQL database with a shop: the demo's, which are the classicmodels facts and ratings generated from its
// order lines, or a second one to show that millrace knows no table by name.
package seed

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"path"
)

//go:embed data/*.csv schema.sql onlineretail/*
var files embed.FS

// Names of the shops, which are also those of their dataset files.
const (
	ClassicModels = "classicmodels"
	OnlineRetail  = "onlineretail"
)

// Table is one table's name, its columns in order and its rows; nil is NULL, every other value is text that MySQL converts.
type Table struct {
	Name    string
	Columns []string
	Rows    [][]any
}

// shopTables returns the tables of a shop and the file that defines them.
func shopTables(shop string) (tables []Table, schema string, err error) {
	switch shop {
	case ClassicModels:
		tables, err = Tables()
		return tables, "schema.sql", err
	case OnlineRetail:
		tables, err = readTables("onlineretail/%s.csv.gz", "customers", "products", "purchases")
		return tables, "onlineretail/schema.sql", err
	}
	return nil, "", fmt.Errorf("seed: there is no data of a shop %q, only of %s and %s", shop, ClassicModels, OnlineRetail)
}

// Tables returns all tables of the demo's shop, the same ones at every call.
func Tables() ([]Table, error) {
	tables, err := readTables("data/%s.csv", "customers", "products", "orders", "orderdetails")
	if err != nil {
		return nil, err
	}
	shop, err := newShop(tables)
	if err != nil {
		return nil, err
	}
	return append(tables, ratingsTable(shop.ratings())), nil
}

func readTables(pattern string, names ...string) (tables []Table, err error) {
	for _, name := range names {
		t, err := readTable(name, fmt.Sprintf(pattern, name))
		if err != nil {
			return nil, fmt.Errorf("seed: table %s: %w", name, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func readTable(name, file string) (Table, error) {
	data, err := files.ReadFile(file)
	if err != nil {
		return Table{}, err
	}
	var text io.Reader = bytes.NewReader(data)
	if path.Ext(file) == ".gz" {
		if text, err = gzip.NewReader(text); err != nil {
			return Table{}, err
		}
	}
	records, err := csv.NewReader(text).ReadAll()
	if err != nil {
		return Table{}, err
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
