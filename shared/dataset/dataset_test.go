package dataset_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
)

func TestEveryEmbeddedDatasetIsValid(t *testing.T) {
	t.Parallel()
	require.Contains(t, dataset.Names(), "classicmodels")
	for _, name := range dataset.Names() {
		d, err := dataset.Load(name)
		require.NoError(t, err)
		require.Equal(t, name, d.Name)
	}
}

func TestTrainingTablesAreBaseJoinsAndEntities(t *testing.T) {
	t.Parallel()
	d, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	require.Equal(t, []string{"ratings", "products", "customers"}, d.TrainingTables())
}

func TestAllProblemsAreReportedTogetherByTheirPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	broken := strings.NewReplacer(
		"key: [orderNumber, productCode]", "key: [orderNumber, orderNumber]",
		"base: ratings", "base: rating",
		"weight: productRating", "weight: stars",
		"{column: MSRP, kind: number}", "{column: MSRP, kind: price}",
		"credit_limit: creditLimit", "credit_limit: limit",
		"table: customers\n  id: customerNumber", "table: customers",
	).Replace(string(text))
	_, err = dataset.Parse([]byte(broken))
	for _, part := range []string{
		`tables.orderdetails.key: "orderNumber" is there twice`,
		`training.base: table "rating" is not one of tables`,
		`training.weight: "stars"`, `items.features.MSRP: kind "price"`,
		`event.features.credit_limit: "limit"`, `users.id: missing`,
	} {
		require.ErrorContains(t, err, part)
	}
}

func TestMisspeltFieldsAreNamedWithTheirLine(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	_, err = dataset.Parse([]byte(strings.Replace(string(text), "partition_by:", "partitions_by:", 1)))
	require.ErrorContains(t, err, "partitions_by")
	require.ErrorContains(t, err, "[19:5]")
}

func TestAnUnknownFieldDoesNotHideTheOtherMistakes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	broken := strings.NewReplacer("  user: customerNumber", "  usr: customerNumber", "base: ratings", "base: rating").Replace(string(text))
	_, err = dataset.Parse([]byte(broken))
	require.ErrorContains(t, err, "usr")
	require.ErrorContains(t, err, `training.base: table "rating"`)
	_, err = dataset.Parse(nil)
	require.ErrorContains(t, err, "the file is empty")
}

func TestUnknownNamesSayWhatThereIs(t *testing.T) {
	t.Parallel()
	_, err := dataset.Load("../secret")
	require.ErrorContains(t, err, "classicmodels")
	d, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	_, err = d.Table("payments")
	require.ErrorContains(t, err, "customers, orderdetails, orders, products, ratings")
}

func TestHowATableIsExtractedIsReadAndChecked(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	with := func(extract string) (dataset.Extract, error) {
		d, err := dataset.Parse([]byte(strings.Replace(string(text),
			"key: [orderNumber]\n    extract: {mode: full, zero_dates: fail}", "key: [orderNumber]\n    extract: "+extract, 1)))
		if err != nil {
			return dataset.Extract{}, err
		}
		return d.Tables["orders"].Extract, nil
	}
	got, err := with(`{mode: incremental, watermark: changed, overlap: 10m, zero_dates: "null", invalid_text: "null", drift: {price: "decimal(12,2)", city: dropped}}`)
	require.NoError(t, err)
	require.Equal(t, dataset.Extract{
		Mode: dataset.Incremental, Watermark: "changed", Overlap: "10m", ZeroDates: dataset.ZeroDatesNull, InvalidText: dataset.InvalidTextNull,
		Drift: map[string]string{"price": "decimal(12,2)", "city": dataset.Dropped},
	}, got)
	got, err = with("{mode: incremental, watermark: id, overlap: 1000, zero_dates: fail}")
	require.NoError(t, err)
	require.Equal(t, "1000", got.Overlap)

	for extract, want := range map[string]string{
		"{mode: some, zero_dates: fail}":                                       `tables.orders.extract.mode: "some" is neither "full" nor "incremental"`,
		"{mode: incremental, zero_dates: fail}":                                "tables.orders.extract.watermark: missing",
		"{mode: full, zero_dates: fail, overlap: 10m}":                         "tables.orders.extract.overlap: there is no watermark",
		"{mode: incremental, watermark: at, zero_dates: fail, overlap: -10m}":  `tables.orders.extract.overlap: "-10m"`,
		"{mode: incremental, watermark: at, zero_dates: fail, overlap: later}": `tables.orders.extract.overlap: "later" is neither a duration such as 10m nor a number`,
		"{mode: full, zero_dates: null}":                                       `tables.orders.extract.zero_dates: "" is neither "fail" nor "null" (in quotes)`,
		"{mode: full, zero_dates: fail, invalid_text: drop}":                   `tables.orders.extract.invalid_text: "drop"`,
		`{mode: full, zero_dates: fail, drift: {city: ""}}`:                    "tables.orders.extract.drift.city: missing",
	} {
		_, err := with(extract)
		require.ErrorContains(t, err, want, extract)
	}
	_, err = dataset.Parse([]byte(strings.Replace(string(text),
		"key: [orderNumber]\n    extract: {mode: full", "extract: {watermark: at, mode: incremental", 1)))
	require.ErrorContains(t, err, "tables.orders.key: missing")
}

func TestWeightsOfEventsHaveDefaultsFieldByField(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	line := "weights: {view: 1, cart: 3, quantity: 1, decay: 0.4}"
	require.Contains(t, string(text), line)
	for replaced, want := range map[string]dataset.Weights{
		"":                                 {View: 1, Cart: 3, Quantity: 1, Decay: 0.4},
		"weights: {cart: 5}":               {View: 1, Cart: 5, Quantity: 1, Decay: 0.4},
		"weights: {quantity: 0, decay: 1}": {View: 1, Cart: 3, Quantity: 0, Decay: 1},
	} {
		d, err := dataset.Parse([]byte(strings.Replace(string(text), line, replaced, 1)))
		require.NoError(t, err)
		require.Equal(t, want, d.Event.Weights)
	}
}

func TestRulesThatCannotBeFollowedAreRefused(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	_, err = dataset.Parse([]byte(strings.NewReplacer(
		"decay: 0.4}", "decay: 1.5}", "view: 1,", "view: -1,", "hide: bought", "hide: everything", "at_most: 3", "at_most: 0",
	).Replace(string(text))))
	for _, part := range []string{
		"event.weights.decay: 1.5, want above 0, at most 1", "event.weights.view: -1", `recommendations.hide: "everything"`, "recommendations.per_category",
	} {
		require.ErrorContains(t, err, part)
	}
}

func TestTwoTablesWithOneNameInTheCatalogAreRefused(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	_, err = dataset.Parse([]byte(strings.NewReplacer("  orders:\n", "  Activity:\n", "  orderdetails:\n", "  CUSTOMERS:\n", "table: ratings_ml_training", "table: Ratings").Replace(string(text))))
	for _, part := range []string{
		`tables.Activity: "Activity" is in the catalog already: the stream's table of events`, `tables.customers: "customers" is in the catalog already: tables.CUSTOMERS`,
		`training.table: "Ratings" is in the catalog already: tables.ratings`,
	} {
		require.ErrorContains(t, err, part)
	}
}
