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
	require.ErrorContains(t, err, "14")
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
