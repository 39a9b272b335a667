// Package gotest shows what `go test -json` reports as `go test` shows it, and besides skipped tests with their reason, and the seeds and
// figures of those that passed: `go test` tells of them only with -v, which drowns them.
package gotest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Summary counts tests and subtests.
type Summary struct{ Passed, Failed, Skipped int }

func (s Summary) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", s.Passed, s.Failed, s.Skipped)
}

// event is described by `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type test struct{ pkg, name string }

// figures are what a test logs that its reader wants to know of though it passed: what it drew its input from, and what it measured.
var figures = regexp.MustCompile(`^ +\S+_test\.go:\d+: (seed\b.*|figures: .*)`)

// Show reads the report to its end; verbosely, it also shows all that tests that passed have said. A line that is no report, as of a program that go test starts, is shown as it is.
func Show(report io.Reader, out io.Writer, verbose bool) (Summary, error) {
	var s Summary
	said := map[test][]string{} // of tests that have not ended
	var order []test
	lines := bufio.NewReader(report)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if len(line) > 0 && (json.Unmarshal(line, &e) != nil || e.Action == "") {
			e = event{Action: "output", Output: string(line)}
		}
		t := test{e.Package, e.Test}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "":
			// A package's last lines but one: the result follows with its name and duration.
			if e.Output != "PASS\n" {
				if _, err := io.WriteString(out, e.Output); err != nil {
					return s, err
				}
			}
		case e.Action == "output":
			if said[t] == nil {
				order = append(order, t)
			}
			said[t] = append(said[t], e.Output)
		case e.Action == "pass" && e.Test != "":
			s.Passed++
			if !verbose {
				said[t] = measured(t, said[t])
			}
			err = write(out, said, t, err)
		case e.Action == "skip" && e.Test != "":
			s.Skipped++
			err = write(out, said, t, err)
		case e.Action == "fail" && e.Test != "":
			s.Failed++
			err = write(out, said, t, err)
		case e.Action == "fail":
			// A panic or a timeout ends a package while tests run.
			for _, unfinished := range order {
				if unfinished.pkg == e.Package {
					err = write(out, said, unfinished, err)
				}
			}
		}
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
}

// measured leaves of what a test said its figures, each with its name.
func measured(t test, said []string) (lines []string) {
	for _, line := range said {
		if found := figures.FindStringSubmatch(line); found != nil {
			lines = append(lines, fmt.Sprintf("    %s: %s\n", t.name, found[1]))
		}
	}
	return lines
}

// write shows what a test said, without the lines that say only that it runs. An error that is there already wins.
func write(out io.Writer, said map[test][]string, t test, err error) error {
	for _, line := range said[t] {
		if strings.HasPrefix(line, "=== ") {
			continue
		}
		if _, failed := io.WriteString(out, line); failed != nil && (err == nil || err == io.EOF) {
			err = failed
		}
	}
	delete(said, t)
	return err
}
