package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

func newEvaluate(o *options) *cobra.Command {
	var dir, file, sessions string
	var columns train.Columns
	var k int
	cmd := &cobra.Command{
		Use:   "evaluate --model DIR (--test FILE | --sessions FILE)",
		Short: "Measure a model on held-out interactions or on the next items of sessions",
		Long: `Measure a model by ranking all its items. With --test, for each user of a file like that of train, without the items the model was
trained on. With --sessions, for each line of ` + "`item item …<TAB>next item`" + `, by folding the items before the tab in; they can be
recommended again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sessions != "" {
				return evaluateSessions(cmd, o, dir, sessions, k)
			}
			test, err := train.ReadFile(file, columns)
			if err != nil {
				return err
			}
			artifact, err := openArtifact(cmd.Context(), dir)
			if err != nil {
				return err
			}
			m, err := train.Measure(cmd.Context(), artifact, test, k)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), m, func(w io.Writer) {
				fmt.Fprintf(w, "%-19s %-9s  %-10s  item neighbours\n", "", "model", "popularity")
				printFigures(w, m.Metrics, m.Popularity, m.ItemNeighbours)
				fmt.Fprintf(w, "%d users measured; unknown to the model: %d users (left out), %d items (counted as not found)\n", m.Users, m.UnknownUsers, m.UnknownItems)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "directory of the artifact")
	cmd.Flags().StringVar(&file, "test", "", "file with held-out interactions: .csv, .tsv or .parquet")
	cmd.Flags().StringVar(&sessions, "sessions", "", "file with lines of items, a tab and the next item: item item …<TAB>next item")
	cmd.Flags().IntVar(&k, "k", 20, "length of the list")
	columnFlags(cmd, &columns)
	required(cmd, "model")
	cmd.MarkFlagsOneRequired("test", "sessions")
	cmd.MarkFlagsMutuallyExclusive("test", "sessions")
	return cmd
}

func evaluateSessions(cmd *cobra.Command, o *options, dir, file string, k int) error {
	questions, err := train.ReadQuestions(file)
	if err != nil {
		return err
	}
	artifact, err := openArtifact(cmd.Context(), dir)
	if err != nil {
		return err
	}
	m, err := train.MeasureSessions(cmd.Context(), artifact, questions, k)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), m, func(w io.Writer) {
		fmt.Fprintf(w, "%-12s model     popularity\n%-12s %.4f    %.4f\n%-12s %.4f    %.4f\n", "",
			fmt.Sprintf("HR@%d", k), m.Model.HitRate, m.Popularity.HitRate, fmt.Sprintf("MRR@%d", k), m.Model.MRR, m.Popularity.MRR)
		fmt.Fprintf(w, "%d next items asked for; %d of them are unknown to the model (counted as not found)\n", m.Model.Users, m.UnknownNext)
	})
}

func openArtifact(ctx context.Context, dir string) (*model.Artifact, error) {
	artifact, err := model.Open(ctx, lake.NewDirectory(dir), model.ManifestFile)
	if errors.Is(err, lake.ErrNotFound) {
		return nil, fmt.Errorf("--model %s has no %s: it is no artifact (millrace train writes one)", dir, model.ManifestFile)
	}
	return artifact, err
}
