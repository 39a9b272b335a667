package metrics_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/metrics"
)

func TestLineIsEmbeddedMetricFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := func() time.Time { return time.UnixMilli(1700000000000) }
	metrics.New(&out, clock).Emit(map[string]string{"Table": "ratings"},
		metrics.Metric{Name: "RowsExtracted", Unit: metrics.Count, Value: 3},
		metrics.Metric{Name: "ExtractTime", Unit: metrics.Seconds, Value: 0.5})
	require.JSONEq(t, `{
		"_aws": {"Timestamp": 1700000000000, "CloudWatchMetrics": [{
			"Namespace": "Millrace", "Dimensions": [["Table"]],
			"Metrics": [{"Name": "RowsExtracted", "Unit": "Count"}, {"Name": "ExtractTime", "Unit": "Seconds"}]}]},
		"Table": "ratings", "RowsExtracted": 3, "ExtractTime": 0.5}`, out.String())
	require.Equal(t, byte('\n'), out.Bytes()[out.Len()-1])
}

func TestNoDimensionIsAnEmptySet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	metrics.New(&out, time.Now).Emit(nil, metrics.Metric{Name: "ModelsActivated", Unit: metrics.Count, Value: 1})
	require.Contains(t, out.String(), `"Dimensions":[[]]`)
}
