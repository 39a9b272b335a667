package dataset_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
)

func TestPartitionColumnsMayBeTransforms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("classicmodels.yaml")
	require.NoError(t, err)
	require.Contains(t, string(text), "partition_by: [productLine]")
	with := func(by string) error {
		_, err := dataset.Parse([]byte(strings.Replace(string(text), "partition_by: [productLine]", "partition_by: "+by, 1)))
		return err
	}
	require.NoError(t, with(`[productLine, bucket(16, productCode), month(madeAt)]`))
	err = with(`[hour(madeAt), "bucket(0, productCode)", day(x), x_day]`)
	require.ErrorContains(t, err, `tables.products.partition_by: "hour(madeAt)": there is no transform "hour"`)
	require.ErrorContains(t, err, `tables.products.partition_by: "bucket(0, productCode)": write bucket(n, column)`)
	require.ErrorContains(t, err, `"day(x)" and "x_day" both make folders`)
}
