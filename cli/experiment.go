package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/vectorstore"
)

func newExperiment(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "experiment",
		Short: "Serve two model versions at once, each its share of the users (A/B test)",
		Long: `Serve two model versions at once: the treatment to a share of the users, the control to the others. A user keeps the version as long as
the weight allows (a stable hash of the user decides; of the session, if nobody is logged in); every record says which variant it was.
A change takes effect with the next batch of events, without a deployment. A rollback or a promotion ends the experiment; a new
night's model waits beneath it. millrace compare says which variant did better.`,
	}
	cmd.AddCommand(newExperimentStart(o), newExperimentWeigh(o), newExperimentStop(o), newExperimentStatus(o))
	return cmd
}

const weightUsage = "share of the users that get the treatment, from 0 to 1"

// checkWeight refuses what is no share; NaN, for one, which JSON cannot carry to the loader.
func checkWeight(weight float64) error {
	if weight >= 0 && weight <= 1 {
		return nil
	}
	return fmt.Errorf("--weight %v: want the %s", weight, weightUsage)
}

func newExperimentStart(o *options) *cobra.Command {
	var control, treatment string
	var weight float64
	var anyway bool
	cmd := &cobra.Command{
		Use:   "start --control VERSION --treatment VERSION",
		Short: "Start an experiment of two published versions; what is not in the database is loaded first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkWeight(weight); err != nil {
				return err
			}
			return o.experiment(cmd, map[string]any{"do": "start", "control": control, "treatment": treatment, "weight": weight, "anyway": anyway}, "")
		},
	}
	cmd.Flags().StringVar(&control, "control", "", "the version to compare with")
	cmd.Flags().StringVar(&treatment, "treatment", "", "the version to try")
	cmd.Flags().Float64Var(&weight, "weight", 0.5, weightUsage)
	cmd.Flags().BoolVar(&anyway, "anyway", false, "though the trainer rejected one of them")
	required(cmd, "control", "treatment")
	return cmd
}

func newExperimentWeigh(o *options) *cobra.Command {
	var weight float64
	cmd := &cobra.Command{
		Use:   "weigh --weight SHARE",
		Short: "Give the treatment another share of the users: only those between the old share and the new one change their version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkWeight(weight); err != nil {
				return err
			}
			return o.experiment(cmd, map[string]any{"do": "weigh", "weight": weight}, "")
		},
	}
	cmd.Flags().Float64Var(&weight, "weight", 0, weightUsage)
	required(cmd, "weight")
	return cmd
}

func newExperimentStop(o *options) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the experiment: the active version serves everybody",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.experiment(cmd, map[string]any{"do": "stop"}, reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "no reason given", "why: it is recorded")
	return cmd
}

func newExperimentStatus(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the running experiment, or the one that ran last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.experiment(cmd, map[string]any{"do": "status"}, "")
		},
	}
}

// experiment sends a command and shows the experiment as it is then.
func (o *options) experiment(cmd *cobra.Command, what map[string]any, reason string) error {
	s, err := o.openStack(cmd.Context())
	if err != nil {
		return err
	}
	e, err := s.experiment(cmd.Context(), what, reason)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), e, func(w io.Writer) { printExperiment(w, e) })
}

// experiment asks the loader; nil if there never was an experiment.
func (s *stack) experiment(ctx context.Context, what map[string]any, reason string) (*vectorstore.Experiment, error) {
	var answer struct {
		Experiment *vectorstore.Experiment `json:"experiment"`
	}
	err := s.decide(ctx, map[string]any{"command": "experiment", "experiment": what, "reason": reason}, &answer)
	return answer.Experiment, err
}

func printExperiment(w io.Writer, e *vectorstore.Experiment) {
	if e == nil {
		fmt.Fprintln(w, "No experiment yet; start one with: millrace experiment start")
		return
	}
	state := "running since " + e.StartedAt.UTC().Format(time.RFC3339)
	if e.StoppedAt != nil {
		state = fmt.Sprintf("%s to %s, %s", e.StartedAt.UTC().Format(time.RFC3339), e.StoppedAt.UTC().Format(time.RFC3339), e.Ended)
	}
	fmt.Fprintf(w, "Experiment %d, %s\n  control    %5.1f %%  %s\n  treatment  %5.1f %%  %s\n  weight by %s\n",
		e.N, state, 100*(1-e.Weight), e.Control, 100*e.Weight, e.Treatment, e.By)
}
