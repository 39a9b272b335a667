package seed

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
)

// NewCustomer joins the shop on the next day, with ratings but without orders.
const NewCustomer = 497

// Changes are what happens in the shop between two nights.
type Changes struct {
	Customers Table // new rows
	Products  Table // rows with a new quantityInStock
	Ratings   Table // new rows
}

// NextDayChanges returns the changes that NextDay makes: the same ones at every call.
func NextDayChanges() (Changes, error) {
	tables, err := Tables()
	if err != nil {
		return Changes{}, err
	}
	customers, products := tables[0], tables[1]
	shop, err := newShop(tables)
	if err != nil {
		return Changes{}, err
	}

	c := Changes{
		Customers: Table{Name: customers.Name, Columns: customers.Columns, Rows: [][]any{
			{strconv.Itoa(NewCustomer), "Öresund Modellbilar & Söner", "Malmö", nil, "S-211 20", "Sweden", "41900.00"},
		}},
		Products: Table{Name: products.Name, Columns: products.Columns},
	}

	// Every fifth product sold a few pieces.
	const stockColumn = 5
	for i, row := range products.Rows {
		if i%5 != 0 {
			continue
		}
		stock, err := strconv.Atoi(row[stockColumn].(string))
		if err != nil {
			return Changes{}, fmt.Errorf("seed: products: quantityInStock: %w", err)
		}
		code := row[0].(string)
		changed := append([]any(nil), row...)
		changed[stockColumn] = strconv.Itoa(max(0, stock-10-int(hash("sold", 0, code)%40)))
		c.Products.Rows = append(c.Products.Rows, changed)
	}

	// Every other customer rates what it would have wished for next; the newcomer rates motorcycles.
	var ratings []Rating
	for i, customer := range shop.customers {
		if i%2 != 0 || len(shop.bought[customer]) == 0 {
			continue
		}
		given := map[string]bool{}
		for _, r := range shop.ratingsOf(customer) {
			given[r.Product] = true
		}
		for _, p := range shop.wishes(customer) {
			if !given[p.code] {
				ratings = append(ratings, Rating{customer, p.code, 3 + int(hash("next day", customer, p.code)%3)})
				break
			}
		}
	}
	for _, p := range shop.products {
		if p.line == "Motorcycles" && rated(p.code) {
			ratings = append(ratings, Rating{NewCustomer, p.code, 3 + int(hash("next day", NewCustomer, p.code)%3)})
		}
	}
	c.Ratings = ratingsTable(ratings)
	return c, nil
}

// NextDay applies NextDayChanges to a database that Load has filled, in one transaction. A second call changes nothing.
// It is for test databases: it replaces rows of the same key.
func NextDay(ctx context.Context, db *sql.DB) (Changes, error) {
	changes, err := NextDayChanges()
	if err != nil {
		return Changes{}, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return Changes{}, fmt.Errorf("seed: next day: %w", err)
	}
	defer tx.Rollback() // no effect after Commit
	for _, t := range []Table{changes.Customers, changes.Products, changes.Ratings} {
		if err := write(ctx, tx, "REPLACE", t.Name, t.Columns, t.Rows); err != nil {
			return Changes{}, err
		}
	}
	if err := tx.Commit(); err != nil {
		return Changes{}, fmt.Errorf("seed: next day: %w", err)
	}
	return changes, nil
}
