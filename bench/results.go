package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/millrace/millrace/bench/results"
)

// publish prints the results, and puts them between the marks of the results file if all jobs were measured.
func publish(ctx context.Context, o options, in inputs, rounds []*round) error {
	var b strings.Builder
	b.WriteString(in.machine(ctx, o))
	wrong := false
	for _, r := range rounds {
		wrong = r.table(&b) || wrong
	}
	results.Print("batch", b.String())
	if o.results != "" && o.only.String() == "" {
		if err := results.Publish(o.results, "batch", b.String()); err != nil {
			return err
		}
	}
	if wrong {
		return errors.New("not everything that millrace wrote is what the database has: see the column values")
	}
	return nil
}

// table writes one round; wrong says that a job of millrace's wrote other values.
func (r *round) table(b *strings.Builder) (wrong bool) {
	fmt.Fprintf(b, "\n### %s rows\n\n", thousands(r.rows))
	b.WriteString("| | M rows/s | of the limit | CPU s | peak MiB | written MB | values | price, ts | |\n|---|---:|---:|---:|---:|---:|---|---|---|\n")
	var limit float64
	for i, m := range r.jobs {
		if m.failed != nil {
			fmt.Fprintf(b, "| %s | – | – | – | – | – | – | – | %s |\n", m.name, strings.ReplaceAll(m.failed.Error(), "|", "/"))
			wrong = wrong || strings.HasPrefix(m.name, "millrace")
			continue
		}
		rate := float64(r.rows) / m.median(func(s sample) float64 { return s.seconds })
		if i == 0 {
			limit = rate
		}
		values, types := "", ""
		if m.found != nil {
			values, types = "equal", m.found.Price+", "+m.found.TS
			if m.found.Rows != r.want.Rows || m.found.Values != r.want.Values {
				values = fmt.Sprintf("**differ** (%s rows)", thousands(int(m.found.Rows)))
				wrong = wrong || strings.HasPrefix(m.name, "millrace")
			}
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.1f | %.0f | %.0f | %s | %s | %s |\n", m.name, rate/1e6, rate/limit,
			m.median(func(s sample) float64 { return s.cpuSeconds }), m.median(func(s sample) float64 { return float64(s.peakBytes) })/(1<<20), float64(m.bytes)/1e6, values, types, m.note)
	}
	return wrong
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// machine says what the figures were measured with.
func (in inputs) machine(ctx context.Context, o options) string {
	var b strings.Builder
	output := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			return "?"
		}
		return strings.TrimSpace(string(out))
	}
	fmt.Fprintf(&b, "%s, %d processors, %s of memory, Linux %s; %s.\n", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		field("/proc/meminfo", "MemTotal"), output("uname", "-r"), runtime.Version())
	fmt.Fprintf(&b, "%s, on the same machine (%s).\n", output("mariadbd", "--version"), strings.Join(serverSettings, " "))
	if requirements, err := os.ReadFile(filepath.Join(o.root, "bench", "requirements.txt")); err == nil {
		var peers []string
		for _, line := range strings.Split(string(requirements), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				peers = append(peers, strings.Replace(line, "==", " ", 1))
			}
		}
		fmt.Fprintf(&b, "Peers: %s; %s; %s.\n", strings.Join(peers, ", "), output(in.python, "--version"), output("mydumper", "--version"))
	}
	extension := "its mysql extension cannot be loaded here, so DuckDB is shown with text as its source"
	if exec.CommandContext(ctx, in.python, "-c", "import duckdb; duckdb.execute('INSTALL mysql; LOAD mysql')").Run() == nil {
		extension = "its mysql extension could be loaded here, but is not measured"
	}
	fmt.Fprintf(&b, "DuckDB: %s.\n", extension)
	var sizes []string
	for _, rows := range o.rows {
		sizes = append(sizes, fmt.Sprint(rows))
	}
	fmt.Fprintf(&b, "Commit %s. `make bench-batch ROWS=%s REPETITIONS=%d`\n", output("git", "-C", o.root, "describe", "--always", "--dirty"), strings.Join(sizes, ","), o.repetitions)
	return b.String()
}

// field is a value of a file of /proc.
func field(path, name string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "?"
	}
	for _, line := range strings.Split(string(content), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}
