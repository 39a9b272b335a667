package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one execution of a job.
type sample struct {
	seconds    float64
	cpuSeconds float64 // of the process, user and system; the server's are not in it
	peakBytes  int64   // resident
}

// measured is a job's runs and what it wrote in the last.
type measured struct {
	job
	samples []sample
	bytes   int64 // written
	found   *content
	failed  error
}

// content is what check.py says of files.
type content struct {
	Rows   int64  `json:"rows"`
	Values string `json:"values"`
	Price  string `json:"price"` // types of the columns that are easily lost
	TS     string `json:"ts"`
}

// slow is the time beyond which a job is not run on a larger table: what takes a minute there is behind by more than any spread.
const slow = 50 * time.Second

// tooSlow says so of a job that was measured on a smaller table.
func (r *round) tooSlow(name string, rows int) error {
	if r == nil {
		return nil
	}
	n := slices.IndexFunc(r.jobs, func(m *measured) bool { return m.name == name })
	if n < 0 || len(r.jobs[n].samples) == 0 {
		return nil
	}
	expected := r.jobs[n].median(func(s sample) float64 { return s.seconds }) * float64(rows) / float64(r.rows)
	if expected < slow.Seconds() {
		return nil
	}
	return fmt.Errorf("not run: %.0f s at the rate of %s rows", expected, thousands(r.rows))
}

// round is all jobs on a table of so many rows.
type round struct {
	rows int
	want content
	jobs []*measured
}

func measureAll(ctx context.Context, o options) (err error) {
	python, err := preparePeers(o.dir, filepath.Join(o.root, "bench", "requirements.txt"))
	if err != nil {
		return fmt.Errorf("the peers' virtual environment: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := startServer(ctx, filepath.Join(o.dir, "mariadb"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(), os.RemoveAll(filepath.Join(o.dir, "mariadb"))) }()
	in := inputs{self: self, python: python, dir: filepath.Join(o.root, "bench", "peers"), server: s, raw: filepath.Join(o.dir, "raw"), tsv: filepath.Join(o.dir, "ratings.tsv")}
	defer func() { err = errors.Join(err, os.RemoveAll(in.raw), os.RemoveAll(in.tsv)) }()
	var rounds []*round
	var before *round
	for _, rows := range o.rows {
		r, err := in.round(ctx, o, rows, before)
		if err != nil {
			return fmt.Errorf("%d rows: %w", rows, err)
		}
		rounds, before = append(rounds, r), r
	}
	return publish(ctx, o, in, rounds)
}

func (in inputs) round(ctx context.Context, o options, rows int, smaller *round) (*round, error) {
	progress("%d rows: filling the table", rows)
	if err := in.server.fill(ctx, rows); err != nil {
		return nil, err
	}
	r := &round{rows: rows}
	if err := in.prepare(ctx, &r.want); err != nil {
		return nil, err
	}
	if r.want.Rows != int64(rows) {
		return nil, fmt.Errorf("the table as text has %d rows", r.want.Rows)
	}
	for _, j := range jobs() {
		if !o.only.MatchString(j.name) {
			continue
		}
		m := &measured{job: j, failed: smaller.tooSlow(j.name, rows)}
		if j.needs != "" {
			if _, err := exec.LookPath(j.needs); err != nil {
				m.failed = fmt.Errorf("%s is not installed", j.needs)
			}
		}
		r.jobs = append(r.jobs, m)
	}
	for n := range o.repetitions {
		for _, m := range r.jobs {
			if m.failed != nil {
				continue
			}
			m.failed = in.once(ctx, o, m, n == o.repetitions-1)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			progress("%d rows, %d of %d: %s: %s", rows, n+1, o.repetitions, m.name, m.last(rows))
		}
	}
	return r, nil
}

// prepare writes what jobs read besides the database: a landed run, and the table as MariaDB's own client prints it,
// which is also what everybody's values are compared with.
func (in inputs) prepare(ctx context.Context, want *content) error {
	if err := os.RemoveAll(in.raw); err != nil {
		return err
	}
	if err := os.MkdirAll(in.raw, 0o755); err != nil {
		return err
	}
	if err := command(ctx, in.self, "job", "extract", "-dsn", in.server.dsn(), "-out", in.raw, "-ranges", "2").Run(); err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	file, err := os.Create(in.tsv)
	if err != nil {
		return err
	}
	print := command(ctx, "mariadb", append(in.server.client(), "--quick", "--default-character-set=utf8mb4", "--skip-column-names", "--execute=SELECT * FROM "+table, database)...)
	print.Stdout = file
	if err := errors.Join(print.Run(), file.Close()); err != nil {
		return err
	}
	found, err := in.check(ctx, "tsv", in.tsv)
	if err == nil {
		*want = *found
	}
	return err
}

func (in inputs) check(ctx context.Context, kind, pattern string) (*content, error) {
	check := command(ctx, in.python, filepath.Join(in.dir, "check.py"), kind, pattern)
	var stdout bytes.Buffer
	check.Stdout = &stdout
	if err := check.Run(); err != nil {
		return nil, fmt.Errorf("check %s: %w", pattern, err)
	}
	var found content
	return &found, json.Unmarshal(stdout.Bytes(), &found)
}

// once runs a job into an empty directory, and looks at what it wrote if it is the last time.
func (in inputs) once(ctx context.Context, o options, m *measured, last bool) error {
	out := filepath.Join(o.dir, "out")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(out)
	args := m.command(in, out)
	c := command(ctx, args[0], args[1:]...)
	started := time.Now()
	if err := c.Run(); err != nil {
		return err
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	m.samples = append(m.samples, sample{
		seconds:    time.Since(started).Seconds(),
		cpuSeconds: (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(),
		peakBytes:  usage.Maxrss << 10, // Linux counts in KiB
	})
	if !last {
		return nil
	}
	var err error
	if m.bytes, err = sizeOf(out); err == nil && m.written != "" {
		m.found, err = in.check(ctx, "parquet", filepath.Join(out, m.written))
	}
	return err
}

// command is a process whose output is shown only if it fails.
func command(ctx context.Context, name string, args ...string) *process {
	c := exec.CommandContext(ctx, name, args...)
	p := &process{Cmd: c}
	c.Stderr = &p.stderr
	// Peers' state and caches stay out of the home directory.
	c.Env = append(os.Environ(), "DO_NOT_TRACK=1", "PYTHONDONTWRITEBYTECODE=1")
	return p
}

type process struct {
	*exec.Cmd
	stderr bytes.Buffer
}

func (p *process) Run() error {
	if err := p.Cmd.Run(); err != nil {
		text := strings.TrimSpace(p.stderr.String())
		if lines := strings.Split(text, "\n"); len(lines) > 3 {
			text = strings.Join(lines[len(lines)-3:], " / ")
		}
		return fmt.Errorf("%s: %w: %s", filepath.Base(p.Path), err, text)
	}
	return nil
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// median of one figure over the runs.
func (m *measured) median(figure func(sample) float64) float64 {
	var figures []float64
	for _, s := range m.samples {
		figures = append(figures, figure(s))
	}
	slices.Sort(figures)
	n := len(figures)
	return (figures[(n-1)/2] + figures[n/2]) / 2
}

func (m *measured) last(rows int) string {
	if m.failed != nil {
		return m.failed.Error()
	}
	s := m.samples[len(m.samples)-1]
	return fmt.Sprintf("%.2f M rows/s, %.1f CPU-s, %d MiB", float64(rows)/s.seconds/1e6, s.cpuSeconds, s.peakBytes>>20)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
