package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/hitrate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/replay"

	workgroup "github.com/millrace/millrace/shared/athena"
)

func newCompare(o *options) *cobra.Command {
	var from, to string
	var window time.Duration
	cmd := &cobra.Command{
		Use:   "compare [A B]",
		Short: "Compare how often users looked at what two variants recommended",
		Long: `Compare how often users looked at, or put into the cart, what two variants had recommended to them, within a window after it: rates,
their difference, and 95 % intervals that allow for users who count many times. Without arguments the arms are those of the running
experiment, or of the last one; else each is a model version in recommendations/, or a replay: replay/<name>.
It is one Athena query over recommendations/ (or replay/) and activity/.`,
		Example: "  millrace compare --window 1h\n  millrace compare --from 2026-11-20 replay/one replay/two",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("%d arms: want two, or none for those of the experiment", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, now := cmd.Context(), time.Now()
			q := hitrate.Question{Window: window}
			var err error
			if q.From, q.To, err = parsePeriod(from, to, now); err != nil {
				return err
			}
			if len(args) == 2 && from == "" {
				return errors.New("--from is missing: since when the two are to be compared")
			}
			for n, arg := range args {
				if q.Arms[n], err = parseArm(arg); err != nil {
					return err
				}
			}
			s, err := o.openStack(ctx)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if err := s.askAboutExperiment(ctx, &q, from != "", to != ""); err != nil {
					return err
				}
			}
			group, err := s.output("QueryWorkGroupName")
			if err != nil {
				return err
			}
			database, err := s.output("GlueDatabaseName")
			if err != nil {
				return err
			}
			if os.Getenv("AWS_ENDPOINT_URL") != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "The Athena of the local cloud speaks another dialect of SQL: compare runs on AWS (docs/operations.md, Limits).")
			}
			c, err := hitrate.Compare(ctx, workgroup.New(athena.NewFromConfig(s.cfg), group, database, workgroup.Poll), s.dataset.Event, q)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), c, func(w io.Writer) { printComparison(w, c) })
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "recommendations from this day (2026-11-22) or time (2026-11-22T09:30:00Z) on; default: the experiment's start")
	cmd.Flags().StringVar(&to, "to", "", "and what users did before this one; default: now, or a window after the experiment's end")
	cmd.Flags().DurationVar(&window, "window", 24*time.Hour, "how long after a recommendation a look counts")
	return cmd
}

// parseArm reads a model version, or replay/<name>.
func parseArm(text string) (hitrate.Arm, error) {
	if name, isReplay := strings.CutPrefix(text, lake.ReplayRoot); isReplay {
		name = strings.TrimSuffix(name, "/")
		return hitrate.Arm{Replay: name}, replay.CheckName(name)
	}
	return hitrate.Arm{Version: text}, nil
}

// askAboutExperiment fills in the arms of the latest experiment, and its time where none is given.
func (s *stack) askAboutExperiment(ctx context.Context, q *hitrate.Question, fromGiven, toGiven bool) error {
	e, err := s.experiment(ctx, map[string]any{"do": "status"}, "")
	if err != nil {
		return err
	}
	if e == nil {
		return errors.New("there was no experiment yet: name two arms, model versions or replay/<name>, and --from")
	}
	q.Arms = [2]hitrate.Arm{{Variant: experiment.Control, Version: e.Control}, {Variant: experiment.Treatment, Version: e.Treatment}}
	if !fromGiven {
		q.From = e.StartedAt
	}
	if end := q.To; !toGiven && e.StoppedAt != nil && e.StoppedAt.Add(q.Window).Before(end) {
		q.To = e.StoppedAt.Add(q.Window)
	}
	return nil
}

func printComparison(w io.Writer, c hitrate.Comparison) {
	fmt.Fprintf(w, "Recommendations of %s to %s, looks within %s (95 %% intervals)\n\n", c.From.UTC().Format(time.RFC3339), c.To.Add(-c.Window).UTC().Format(time.RFC3339), c.Window)
	fmt.Fprintf(w, "%-40s  %8s  %15s  %-26s  %-26s\n", "", "users", "recommendations", "viewed", "put into the cart")
	for _, a := range c.Arms {
		fmt.Fprintf(w, "%-40s  %8d  %15d  %-26s  %-26s\n", a.Name, a.Users, a.Recommendations, percent(a.Viewed), percent(a.InCart))
	}
	fmt.Fprintf(w, "%-40s  %8s  %15s  %-26s  %-26s\n\n", "difference", "", "", percent(c.Viewed), percent(c.InCart))
	fmt.Fprintln(w, "Viewed:", verdict(c.Viewed, c.Arms[0].Name, c.Arms[1].Name))
}

func percent(i hitrate.Interval) string {
	return fmt.Sprintf("%.2f %% (%.2f to %.2f)", 100*i.Rate, 100*i.Low, 100*i.High)
}

// verdict says which arm is better, if it is not chance.
func verdict(difference hitrate.Interval, first, second string) string {
	switch {
	case difference.Low > 0:
		return second + " is ahead beyond chance."
	case difference.High < 0:
		return first + " is ahead beyond chance."
	}
	return "no difference beyond chance."
}
