package laketest

import (
	"github.com/millrace/millrace/shared/schema"
)

// Shop is classicmodels in a few rows, with what makes joins hard: customers and products
// without ratings, ratings of a product that is gone, NULLs, decimals, UTF-8.
func Shop() map[string]Table {
	text := func(name string, nullable bool) schema.Column {
		return schema.Column{Name: name, Kind: schema.String, Nullable: nullable}
	}
	money := func(name string, nullable bool) schema.Column {
		return schema.Column{Name: name, Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: nullable}
	}
	number := func(name string, bits int) schema.Column {
		return schema.Column{Name: name, Kind: schema.Int, Bits: bits}
	}
	return map[string]Table{
		"customers": {
			Name: "customers", Key: []string{"customerNumber"},
			Columns: []schema.Column{
				number("customerNumber", 32), text("customerName", false), text("city", false), text("state", true),
				text("postalCode", true), text("country", false), money("creditLimit", true),
			},
			Rows: []schema.Row{
				Row(103, "Atelier graphique", "Nantes", nil, "44000", "France", 2100000),
				Row(112, "Signal Gift Stores", "Las Vegas", "NV", "83030", "USA", 7180050),
				Row(119, "La Rochelle Gifts", "São Paulo", "", nil, "Brasil", nil),
				Row(121, "Baane Mini Imports", "Stavern", nil, "4110", "Norway", -1),
			},
		},
		"products": {
			Name: "products", Key: []string{"productCode"},
			Columns: []schema.Column{
				text("productCode", false), text("productName", false), text("productLine", true), text("productScale", false),
				text("productVendor", false), number("quantityInStock", 16), money("buyPrice", false), money("MSRP", false),
			},
			Rows: []schema.Row{
				Row("S10_1678", "1969 Harley Davidson", "Motorcycles", "1:10", "Min Lin", 7933, 4881, 9570),
				Row("S10_1949", "1952 Alpine Renault", "Classic Cars", "1:10", "Classic Metal", 7305, 9858, 21430),
				Row("S12_1099", "1968 Ford Mustang", "Classic Cars", "1:12", "Autoart", -68, 9534, 19457),
				Row("S700_1", "Nobody's wish", nil, "1:700", "Äußerst", 0, 5, 10),
			},
		},
		"ratings": {
			Name: "ratings", Key: []string{"customerNumber", "productCode"},
			Columns: []schema.Column{number("customerNumber", 32), text("productCode", false), number("productRating", 8)},
			Rows: []schema.Row{
				Row(119, "S12_1099", 5), Row(103, "S10_1678", 3), Row(103, "S10_1949", 4), Row(103, "GONE", 1),
				Row(112, "S10_1678", 2), Row(112, "s10_1949", 2), Row(999, "S10_1678", 1), Row(999, "GONE", 1),
			},
		},
	}
}
