package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// reach is the recall@20 to which seconds are counted: that of ENMF, the first of the published figures.
const reach = 0.15

// gowalla trains and tunes on train.txt alone; test.txt is only measured on.
func gowalla(ctx context.Context, o options, out *strings.Builder) error {
	for _, name := range []string{"train", "test"} {
		err := write(filepath.Join(o.dir, "gowalla-"+name+".tsv"), func(w *bufio.Writer) error {
			fmt.Fprintln(w, "user\titem")
			return eachLine(filepath.Join(o.data, "gowalla", name+".txt.gz"), func(line string) error {
				words := strings.Fields(line)
				for _, item := range words[min(1, len(words)):] {
					fmt.Fprintf(w, "%s\t%s\n", words[0], item)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	out.WriteString("### Gowalla check-ins\n\n" +
		"`millrace train --interactions gowalla-train.tsv --dim d` and `millrace evaluate --test gowalla-test.tsv`; settings chosen on a part of the training pairs.\n" +
		"Published with the same split (BARS, gowalla_m1), recall@20 / ndcg@20: ENMF .1523/.1315, ItemCF .1570/.1214, MF-BPR .1627/.1378, SLIM .1699/.1382, EASE^R .1765/.1467,\n" +
		"LightGCN .1820/.1547, UltraGCN .1862/.1580.\n\n" +
		"| | recall@20 | ndcg@20 | mrr@20 | hit rate@20 | coverage | popularity bias | 95 % of recall | tuning and training | settings |\n|---|---:|---:|---:|---:|---:|---:|---|---:|---|\n")
	speed := map[int]*epochs{}
	var dimensions []int
	for _, text := range strings.Split(o.dimensions, ",") {
		d, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("--dimensions %q: want whole numbers separated by commas", o.dimensions)
		}
		dimensions = append(dimensions, d)
		t, dir, err := train(ctx, o, "gowalla-"+text, "--interactions", filepath.Join(o.dir, "gowalla-train.tsv"), "--dim", text)
		if err != nil {
			return err
		}
		var ours evaluate.Metrics
		var beside struct {
			Confidence evaluate.Confidence `json:"confidence_95"`
			Popularity evaluate.Metrics
			Neighbours evaluate.Metrics `json:"item_neighbours"`
		}
		var answer json.RawMessage
		if _, err := o.call(ctx, &answer, "evaluate", "--json", "--model", dir, "--test", filepath.Join(o.dir, "gowalla-test.tsv")); err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &beside); err != nil {
			return err
		}
		if ours, err = metricsIn(answer); err != nil {
			return err
		}
		if len(dimensions) == 1 {
			fmt.Fprintf(out, "| popularity | %s | | | |\n| item neighbours | %s | | | |\n", figures(beside.Popularity), figures(beside.Neighbours))
		}
		fmt.Fprintf(out, "| millrace, d = %d | %s | %.4f … %.4f | %s, %d MiB | %s |\n", d, figures(ours), beside.Confidence.Recall.Low, beside.Confidence.Recall.High,
			t.took.Round(time.Second), t.peak>>20, settings(t.Metrics.Settings, len(t.Metrics.Trials)))
		if speed[d], err = timeEpochs(ctx, o, t.Metrics.Settings); err != nil {
			return err
		}
	}
	return compareSpeed(ctx, o, dimensions, speed, out)
}

// metricsIn reads the figures out of what `millrace evaluate` prints beside other things.
func metricsIn(answer []byte) (m evaluate.Metrics, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil {
		return m, err
	}
	for name, value := range fields {
		if len(value) > 0 && value[0] == '{' {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// epochs is how fast a solver is and what it reaches.
type epochs struct {
	Dimension       int      `json:"dimension"`
	SecondsPerEpoch float64  `json:"seconds_per_epoch"` // median
	Recall          float64  `json:"recall"`            // best after any epoch
	Epochs          int      `json:"epochs"`
	SecondsToReach  *float64 `json:"seconds_to_150"`
	Settings        string   `json:"settings"`
}

// timeEpochs trains with the chosen settings on all of the training part, measuring after every epoch.
func timeEpochs(ctx context.Context, o options, s model.Settings) (*epochs, error) {
	matrix := func(name string) (als.Interactions, error) {
		var list []als.Interaction
		err := eachLine(filepath.Join(o.data, "gowalla", name+".txt.gz"), func(line string) error {
			words := strings.Fields(line)
			for n, word := range words {
				number, err := strconv.Atoi(word)
				if err != nil {
					return err
				}
				if n == 0 {
					continue
				}
				user, err := strconv.Atoi(words[0])
				if err != nil {
					return err
				}
				list = append(list, als.Interaction{User: int32(user), Item: int32(number), Weight: 1})
			}
			return nil
		})
		if err != nil {
			return als.Interactions{}, err
		}
		return als.Collect(29858, 40981, list)
	}
	learned, err := matrix("train")
	if err != nil {
		return nil, err
	}
	held, err := matrix("test")
	if err != nil {
		return nil, err
	}
	solver, err := als.NewSolver(learned, als.Config{Dimension: s.Dimension, Epochs: 15, Alpha0: s.Alpha0, Lambda: s.Lambda, Seed: s.Seed})
	if err != nil {
		return nil, err
	}
	e := &epochs{Dimension: s.Dimension, Settings: settings(s, 0)}
	var seconds []float64
	var sum float64
	for n := range 15 {
		started := time.Now()
		if _, err := solver.Epoch(ctx); err != nil {
			return nil, err
		}
		seconds = append(seconds, time.Since(started).Seconds())
		sum += seconds[n]
		r, err := evaluate.Rank(ctx, evaluate.Factors(solver.Factors()), learned, held, 20)
		if err != nil {
			return nil, err
		}
		if r.Recall > e.Recall {
			e.Recall, e.Epochs = r.Recall, n+1
		}
		if r.Recall >= reach && e.SecondsToReach == nil {
			e.SecondsToReach = &[]float64{sum}[0]
		}
	}
	slices.Sort(seconds)
	e.SecondsPerEpoch = seconds[len(seconds)/2]
	return e, nil
}

// compareSpeed lets the peers choose their settings on the same validation part, and shows everybody at the same d.
func compareSpeed(ctx context.Context, o options, dimensions []int, ours map[int]*epochs, out *strings.Builder) error {
	fmt.Fprintf(out, "\n### Seconds an epoch, Gowalla, %d threads\n\n", runtime.NumCPU())
	out.WriteString("Recall is the best after any of 15 epochs (implicit: 2, 3, 4, 5, 8 or 15), on the test part. The peers' settings are the best of a grid on the validation part at d = 64 (bench/model/*.py).\n\n" +
		"| | d | s/epoch | recall@20 | s to recall@20 = .150 | settings |\n|---|---:|---:|---:|---:|---|\n")
	line := func(name string, e *epochs) {
		reached := "–"
		if e.SecondsToReach != nil {
			reached = fmt.Sprintf("%.2f", *e.SecondsToReach)
		}
		fmt.Fprintf(out, "| %s | %d | %.2f | %.4f | %s | %s |\n", name, e.Dimension, e.SecondsPerEpoch, e.Recall, reached, strings.TrimSuffix(e.Settings, " (0 trials)"))
	}
	for _, d := range dimensions {
		line("millrace", ours[d])
	}
	if !o.peers {
		return nil
	}
	python, err := prepareVenv(ctx, o)
	if err != nil {
		return err
	}
	for _, peer := range []struct {
		name, script string
		args         []string
	}{
		{"implicit 0.7.3", "implicit_als.py", []string{o.dimensions}},
		{"PySpark MLlib 4.1.0", "spark_als.py", []string{"64"}},
	} {
		cmd := exec.CommandContext(ctx, python, append(append([]string{filepath.Join("bench", "model", peer.script), o.data}, peer.args...), strconv.Itoa(runtime.NumCPU()))...)
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		if err != nil {
			fmt.Fprintf(out, "| %s | – | – | – | – | not measured: %s |\n", peer.name, err)
			continue
		}
		for text := range strings.Lines(string(text)) {
			var e epochs
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return fmt.Errorf("%s: %w", peer.name, err)
			}
			line(peer.name, &e)
		}
	}
	return nil
}

func prepareVenv(ctx context.Context, o options) (python string, err error) {
	venv := filepath.Join(o.dir, "venv")
	python = filepath.Join(venv, "bin", "python")
	for _, words := range [][]string{
		{"python3", "-m", "venv", venv},
		{python, "-m", "pip", "install", "--quiet", "--requirement", filepath.Join("bench", "model", "requirements.txt")},
	} {
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, text)
		}
	}
	return python, nil
}
