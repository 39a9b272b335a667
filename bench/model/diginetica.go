package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// diginetica trains on sessions, tunes on the latest of them, and asks for the next item of the test sessions.
func diginetica(ctx context.Context, o options, out *strings.Builder) error {
	for from, to := range map[string]string{"train_sessions": "diginetica-train.txt", "test_prefix_label": "diginetica-test.txt"} {
		err := write(filepath.Join(o.dir, to), func(w *bufio.Writer) error {
			return eachLine(filepath.Join(o.data, "diginetica", from+".txt.gz"), func(line string) error {
				_, err := fmt.Fprintln(w, line)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	t, dir, err := train(ctx, o, "diginetica", "--sessions", filepath.Join(o.dir, "diginetica-train.txt"))
	if err != nil {
		return err
	}
	var answer struct {
		HR         float64                                `json:"HR@20"`
		MRR        float64                                `json:"MRR@20"`
		Confidence map[string]struct{ Low, High float64 } `json:"confidence_95"`
		Popularity map[string]float64
		Questions  int
	}
	var text json.RawMessage
	if _, err := o.call(ctx, &text, "evaluate", "--json", "--model", dir, "--sessions", filepath.Join(o.dir, "diginetica-test.txt"), "--k", "20"); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n### Diginetica sessions: the next item, of all items\n\n"+
		"`millrace train --sessions` and `millrace evaluate --sessions`: %d questions. Published, HR@20 / MRR@20: Markov .3441/.1307, AR .4394/.1465, S-kNN .4846/.1736, STAMP .4690/.1499,\n"+
		"NARM .4979/.1585, GRU4Rec .5097/.1750, VS-kNN .5203/.1841.\n\n"+
		"| | HR@20 | MRR@20 | 95 %% of HR | tuning and training | settings |\n|---|---:|---:|---|---:|---|\n"+
		"| popularity | %.4f | %.4f | | | |\n| millrace | %.4f | %.4f | %.4f … %.4f | %s, %d MiB | %s |\n", answer.Questions,
		answer.Popularity["HR@20"], answer.Popularity["MRR@20"], answer.HR, answer.MRR, answer.Confidence["HR@20"].Low, answer.Confidence["HR@20"].High,
		t.took.Round(time.Second), t.peak>>20, settings(t.Metrics.Settings, len(t.Metrics.Trials)))
	return nil
}
