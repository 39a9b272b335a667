// Package metrics writes CloudWatch metrics in the embedded metric format: a log line that
// CloudWatch turns into metrics, without a call that could fail or cost time.
// Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package metrics

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"
)

// Namespace of every metric.
const Namespace = "Millrace"

// Units that CloudWatch knows.
const (
	Count        = "Count"
	Bytes        = "Bytes"
	Seconds      = "Seconds"
	Milliseconds = "Milliseconds"
	None         = "None"
)

// Metric is one figure.
type Metric struct {
	Name  string
	Unit  string
	Value float64
}

// Emitter writes metric lines to w, in a Lambda os.Stdout.
type Emitter struct {
	w   io.Writer
	now func() time.Time
}

// New returns an emitter; now gives the lines' time.
func New(w io.Writer, now func() time.Time) *Emitter { return &Emitter{w, now} }

// Emit writes one line with these metrics under these dimensions. Each combination of
// dimension values is a metric that costs money: use few (a table, a strategy), never ids.
func (e *Emitter) Emit(dimensions map[string]string, metrics ...Metric) {
	type definition struct {
		Name string
		Unit string
	}
	line := map[string]any{}
	for name, value := range dimensions {
		line[name] = value
	}
	var definitions []definition
	for _, m := range metrics {
		definitions = append(definitions, definition{m.Name, m.Unit})
		line[m.Name] = m.Value
	}
	line["_aws"] = map[string]any{
		"Timestamp": e.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": Namespace, "Dimensions": [][]string{append([]string{}, slices.Sorted(maps.Keys(dimensions))...)}, "Metrics": definitions,
		}},
	}
	// A metric must never fail the work it counts: an unwritable line is lost.
	if b, err := json.Marshal(line); err == nil {
		_, _ = e.w.Write(append(b, '\n'))
	}
}
