// Package lake is the only author of the lake's grammar: object keys, markers, and how
// objects are published and read so that a consumer never sees half of anything.
package lake

import (
	"fmt"
	"time"
)

const runLayout = "20060102T150405Z"

// Run identifies one batch by its scheduled time (UTC, "20261122T020000Z"), never by the
// wall clock: a retry writes the same keys. Runs order as strings.
type Run string

// NewRun names the run scheduled for t.
func NewRun(t time.Time) Run { return Run(t.UTC().Format(runLayout)) }

// ParseRun accepts a run's name or the scheduled time as RFC 3339.
func ParseRun(s string) (Run, error) {
	for _, layout := range []string{runLayout, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return NewRun(t), nil
		}
	}
	return "", fmt.Errorf("run %q: want a scheduled time such as 20261122T020000Z or 2026-11-22T02:00:00Z", s)
}

// Date is the run's day, YYYY-MM-DD (UTC): the dt partition.
func (r Run) Date() string {
	if len(r) < len("20060102") {
		return ""
	}
	return string(r[:4] + "-" + r[4:6] + "-" + r[6:8])
}

// Time is the scheduled time; the zero time if the run is not well formed.
func (r Run) Time() time.Time {
	t, _ := time.Parse(runLayout, string(r))
	return t
}
