package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// trained is what `millrace train` says.
type trained struct {
	Version string
	Metrics model.Metrics
	took    time.Duration
	peak    int64 // bytes resident
}

// train runs `millrace train` into a new directory.
func train(ctx context.Context, o options, name string, args ...string) (t trained, dir string, err error) {
	dir = filepath.Join(o.dir, "models", name)
	if err := os.RemoveAll(dir); err != nil {
		return t, "", err
	}
	started := time.Now()
	t.peak, err = o.call(ctx, &t, append([]string{"train", "--json", "--out", dir}, args...)...)
	t.took = time.Since(started)
	return t, dir, err
}

// call runs the command and reads the JSON it prints.
func (o options) call(ctx context.Context, into any, args ...string) (peak int64, err error) {
	fmt.Fprintln(os.Stderr, "millrace", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, o.millrace, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("millrace %s: %w", strings.Join(args, " "), err)
	}
	if usage, known := cmd.ProcessState.SysUsage().(*syscall.Rusage); known {
		peak = usage.Maxrss << 10
	}
	return peak, json.Unmarshal(out, into)
}

func settings(s model.Settings, trials int) string {
	text := fmt.Sprintf("d %d, α0 %g, λ %g, %d epochs, %s weights", s.Dimension, s.Alpha0, s.Lambda, s.Epochs, s.Weights)
	if s.Decay > 0 {
		text += fmt.Sprintf(", decay %g", s.Decay)
	}
	return fmt.Sprintf("%s (%d trials)", text, trials)
}

func figures(m evaluate.Metrics) string {
	return fmt.Sprintf("%.4f | %.4f | %.4f | %.4f | %.3f | %.2f", m.Recall, m.NDCG, m.MRR, m.HitRate, m.Coverage, m.PopularityBias)
}

// eachLine passes the lines of a gzipped text on.
func eachLine(path string, do func(line string) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(z)
	for {
		line, err := lines.ReadString('\n')
		if line == "" && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := do(strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
}

// write makes a file of what fill prints.
func write(path string, fill func(w *bufio.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(fill(w), w.Flush(), f.Close())
}
