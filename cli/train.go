package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

func newTrain(o *options) *cobra.Command {
	var file, sessions, out string
	var columns train.Columns
	settings := train.Settings{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "train (--interactions FILE | --sessions FILE) --out DIR",
		Short: "Train a model from a file of interactions or sessions and write its artifact",
		Long: `Train a model and write its artifact. Interactions are one a row, in a .csv, .tsv or .parquet file with named columns; weights of rows
with the same user and item are summed. Sessions are one a line: items separated by spaces, the oldest item first, the earliest session
first. What is not given is chosen on a validation part of the data; the figures are of a test part that nothing has seen.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			read, source := func() (*train.Interactions, error) { return train.ReadFile(file, columns) }, file
			if sessions != "" {
				read, source = func() (*train.Interactions, error) { return train.ReadSessions(sessions) }, sessions
			}
			interactions, err := read()
			if err != nil {
				return err
			}
			if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
				return fmt.Errorf("--out %s is not empty: name a new directory, an artifact is never overwritten", out)
			}
			bar := newBar(cmd.ErrOrStderr())
			content, err := train.Run(cmd.Context(), train.Input{Interactions: interactions}, settings, func(p train.Progress) {
				bar.step("%s %d/%d: d = %d, α0 = %g, λ = %g, epoch %d/%d", p.Stage, p.Trial, p.Trials, p.Dimension, p.Alpha0, p.Lambda, p.Epoch.Number, p.Epoch.Of)
			})
			bar.done()
			if err != nil {
				return fmt.Errorf("%s: %w", source, err)
			}
			manifest, _, err := model.Write(cmd.Context(), model.Destination{Store: lake.NewDirectory(out), Dataset: filepath.Base(source)}, content)
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
	flags.StringVar(&sessions, "sessions", "", "file with one session a line")
	flags.StringVar(&out, "out", "", "directory for the artifact")
	columnFlags(cmd, &columns)
	flags.IntVar(&settings.Dimension, "dim", 0, "length of the embeddings; 0: chosen on validation data")
	flags.IntVar(&settings.Epochs, "epochs", 0, "0: chosen on validation data")
	flags.Uint64Var(&settings.Seed, "seed", 0, "of the initial factors; the same seed gives the same model")
	flags.DurationVar(&settings.TuneBudget, "tune-budget", 0, "no further trial starts after this time; 0: no bound")
	required(cmd, "out")
	cmd.MarkFlagsOneRequired("interactions", "sessions")
	cmd.MarkFlagsMutuallyExclusive("interactions", "sessions")
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
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, f := range flags {
			if flag := cmd.Flag(f); flag.Changed && flag.Value.String() == "" { // a shell's variable that is not set
				return fmt.Errorf("--%s is empty", f)
			}
		}
		return nil
	}
}

func printMetrics(w io.Writer, m model.Metrics) {
	fmt.Fprintf(w, "%-19s %-9s  %-10s  item neighbours\n", "", "model", "popularity")
	printFigures(w, m.Model, m.Popularity, m.ItemNeighbours)
	fmt.Fprintf(w, "%-19s %+.4f (95 %% interval %+.4f … %+.4f)\n", fmt.Sprintf("gain in ndcg@%d", m.Model.K), m.Gain.NDCG, m.Gain.NDCGInterval.Low, m.Gain.NDCGInterval.High)
	if m.Data.Rows > int64(m.Data.Pairs) {
		fmt.Fprintf(w, "data         %d rows are %d pairs of a user and an item: weights of the same pair are summed, %d rows have none\n", m.Data.Rows, m.Data.Pairs, m.Data.WithoutValue)
	}
	fmt.Fprintf(w, "settings     d = %d, α0 = %g, λ = %g, %d epochs, %s weights", m.Settings.Dimension, m.Settings.Alpha0, m.Settings.Lambda, m.Settings.Epochs, m.Settings.Weights)
	if m.Settings.Decay > 0 {
		fmt.Fprintf(w, ", decay %g", m.Settings.Decay)
	}
	fmt.Fprintf(w, " (best of %d trials)\n%-12s %s\n", len(m.Trials), m.State, m.Reason)
}

// printFigures prints a line for each metric of the model beside the baselines.
func printFigures(w io.Writer, ours, popularity evaluate.Metrics, neighbours *evaluate.Metrics) {
	var near evaluate.Metrics
	if neighbours != nil {
		near = *neighbours
	}
	for _, row := range []struct {
		name string
		of   func(evaluate.Metrics) float64
	}{
		{"recall", func(m evaluate.Metrics) float64 { return m.Recall }},
		{"ndcg", func(m evaluate.Metrics) float64 { return m.NDCG }},
		{"precision", func(m evaluate.Metrics) float64 { return m.Precision }},
		{"mrr", func(m evaluate.Metrics) float64 { return m.MRR }},
		{"hit rate", func(m evaluate.Metrics) float64 { return m.HitRate }},
		{"coverage", func(m evaluate.Metrics) float64 { return m.Coverage }},
		{"popularity bias", func(m evaluate.Metrics) float64 { return m.PopularityBias }},
	} {
		last := "-"
		if neighbours != nil {
			last = fmt.Sprintf("%.4f", row.of(near))
		}
		fmt.Fprintf(w, "%-19s %-9.4f  %-10.4f  %s\n", fmt.Sprintf("%s@%d", row.name, ours.K), row.of(ours), row.of(popularity), last)
	}
}
