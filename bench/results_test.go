package main

import (
	"strings"
	"testing"
)

// A fast job that writes something else must not look like a fast job.
func TestWrongValuesShow(t *testing.T) {
	t.Parallel()
	for name, wantWrong := range map[string]bool{"millrace partition": true, "another": false} {
		right := content{Rows: 2000, Values: "7"}
		r := round{rows: 2000, want: right, jobs: []*measured{
			{job: job{name: "limit"}, samples: []sample{{seconds: 1}, {seconds: 9}, {seconds: 2}}},
			{job: job{name: name}, samples: []sample{{seconds: 4}}, found: &content{Rows: 2000, Values: "8"}},
			{job: job{name: "right"}, samples: []sample{{seconds: 1}, {seconds: 3}}, found: &right},
		}}
		var b strings.Builder
		if wrong := r.table(&b); wrong != wantWrong {
			t.Errorf("%s: wrong is %v", name, wrong)
		}
		for _, want := range []string{"| limit | 0.00 | 1.00 |", "| " + name + " | 0.00 | 0.50 |", "**differ** (2,000 rows)", "| right | 0.00 | 1.00 |", "| equal |"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in %s", name, want, b.String())
			}
		}
	}
}
