package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

func newTrain(o *options) *cobra.Command {
	var file, out string
	var columns train.Columns
	settings := train.Settings{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "train --interactions FILE --out DIR",
		Short: "Train a model from a file of interactions and write its artifact",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			interactions, err := train.ReadFile(file, columns)
			if err != nil {
				return err
			}
			if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
				return fmt.Errorf("--out %s is not empty: name a new directory, an artifact is never overwritten", out)
			}
			bar := newBar(cmd.ErrOrStderr())
			content, err := train.Run(cmd.Context(), train.Input{Interactions: interactions}, settings, func(p train.Progress) {
				bar.step("%s %d/%d: d = %d, α0 = %g, λ = %g, epoch %d", p.Stage, p.Trial, p.Trials, p.Dimension, p.Alpha0, p.Lambda, p.Epoch.Number)
			})
			bar.done()
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			manifest, _, err := model.Write(cmd.Context(), model.Destination{Store: lake.NewDirectory(out), Dataset: filepath.Base(file)}, content)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), struct {
				Version string        `json:"version"`
				Out     string        `json:"out"`
				Metrics model.Metrics `json:"metrics"`
			}{manifest.Version, out, content.Metrics}, func(w io.Writer) {
				printMetrics(w, content.Metrics)
				fmt.Fprintf(w, "artifact     %s, version %s\n", out, manifest.Version)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "interactions", "", "file with one interaction a row: .csv, .tsv or .parquet")
	flags.StringVar(&out, "out", "", "directory for the artifact")
	columnFlags(cmd, &columns)
	flags.IntVar(&settings.Dimension, "dim", 0, "length of the embeddings; 0: chosen on validation data")
	flags.IntVar(&settings.Epochs, "epochs", 0, "0: chosen on validation data")
	flags.Uint64Var(&settings.Seed, "seed", 0, "of the initial factors; the same seed gives the same model")
	flags.DurationVar(&settings.TuneBudget, "tune-budget", 0, "no further trial starts after this time; 0: no bound")
	required(cmd, "interactions", "out")
	return cmd
}

func newEvaluate(o *options) *cobra.Command {
	var dir, file string
	var columns train.Columns
	var k int
	cmd := &cobra.Command{
		Use:   "evaluate --model DIR --test FILE",
		Short: "Measure a model on held-out interactions: full ranking, training items masked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			test, err := train.ReadFile(file, columns)
			if err != nil {
				return err
			}
			artifact, err := model.Open(cmd.Context(), lake.NewDirectory(dir), model.ManifestFile)
			if errors.Is(err, lake.ErrNotFound) {
				return fmt.Errorf("--model %s has no %s: it is no artifact (millrace train writes one)", dir, model.ManifestFile)
			} else if err != nil {
				return err
			}
			m, err := train.Measure(cmd.Context(), artifact, test, k)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), m, func(w io.Writer) {
				fmt.Fprintf(w, "%-12s model     popularity\n", "")
				for _, row := range []struct {
					name              string
					model, popularity float64
				}{
					{"recall", m.Model.Recall, m.Popularity.Recall},
					{"ndcg", m.Model.NDCG, m.Popularity.NDCG},
					{"hit rate", m.Model.HitRate, m.Popularity.HitRate},
				} {
					fmt.Fprintf(w, "%-12s %.4f    %.4f\n", fmt.Sprintf("%s@%d", row.name, k), row.model, row.popularity)
				}
				fmt.Fprintf(w, "%d users measured; unknown to the model: %d users (left out), %d items (counted as not found)\n", m.Model.Users, m.UnknownUsers, m.UnknownItems)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "directory of the artifact")
	cmd.Flags().StringVar(&file, "test", "", "file with held-out interactions: .csv, .tsv or .parquet")
	cmd.Flags().IntVar(&k, "k", 20, "length of the list")
	columnFlags(cmd, &columns)
	required(cmd, "model", "test")
	return cmd
}

func columnFlags(cmd *cobra.Command, c *train.Columns) {
	flags := cmd.Flags()
	flags.StringVar(&c.User, "user-column", "user", "name of the user column")
	flags.StringVar(&c.Item, "item-column", "item", "name of the item column")
	flags.StringVar(&c.Weight, "weight-column", "", "name of the weight column; none: every row weighs 1")
	flags.StringVar(&c.Time, "time-column", "", "name of the time column, which orders the hold-out; none: pairs are left out at random")
}

func required(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := cmd.MarkFlagRequired(f); err != nil {
			panic(err) // a flag that does not exist: a programming error that every test meets
		}
	}
}

func printMetrics(w io.Writer, m model.Metrics) {
	k := m.Model.K
	fmt.Fprintf(w, "%-12s %-9s  %-10s  gain, 95 %% interval\n", "", "model", "popularity")
	fmt.Fprintf(w, "%-12s %-9.4f  %-10.4f  %+.4f (%+.4f … %+.4f)\n", fmt.Sprintf("recall@%d", k),
		m.Model.Recall, m.Popularity.Recall, m.Gain.Recall, m.Gain.RecallInterval.Low, m.Gain.RecallInterval.High)
	fmt.Fprintf(w, "%-12s %-9.4f  %-10.4f  %+.4f (%+.4f … %+.4f)\n", fmt.Sprintf("ndcg@%d", k),
		m.Model.NDCG, m.Popularity.NDCG, m.Gain.NDCG, m.Gain.NDCGInterval.Low, m.Gain.NDCGInterval.High)
	fmt.Fprintf(w, "settings     d = %d, α0 = %g, λ = %g, %d epochs (best of %d trials)\n",
		m.Settings.Dimension, m.Settings.Alpha0, m.Settings.Lambda, m.Settings.Epochs, len(m.Trials))
	fmt.Fprintf(w, "%-12s %s\n", m.State, m.Reason)
}
