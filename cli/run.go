package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
)

func newRun(o *options) *cobra.Command {
	var date string
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the batch of a day: every table is extracted, and the rest follows by itself",
		Long: `Start the batch of a day, as the schedule would. The run is named for the given time, so the
same call again repeats nothing that is done, and finishes what is not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, err := parseDate(date, time.Now())
			if err != nil {
				return err
			}
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			start := time.Now()
			if err := s.startBatch(cmd.Context(), run); err != nil {
				return err
			}
			var stages []stage
			if wait {
				out := cmd.OutOrStdout()
				if o.json {
					out = io.Discard
				}
				if stages, err = s.waitForBatch(cmd.Context(), run, start, timeout, out); err != nil {
					return err
				}
			}
			return o.show(cmd.OutOrStdout(), struct {
				Run    lake.Run `json:"run"`
				Stages []stage  `json:"stages,omitempty"`
			}{run, stages}, func(w io.Writer) {
				if !wait {
					fmt.Fprintf(w, "Run %s started for %s. Watch it with: millrace status\n", run, strings.Join(s.dataset.TableNames(), ", "))
				}
			})
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the day (2026-11-22: its 02:00 UTC) or the exact scheduled time (2026-11-22T02:00:00Z); default: now, to the second")
	cmd.Flags().BoolVar(&wait, "wait", false, "show each stage as it completes, until the model is active or rejected")
	cmd.Flags().DurationVar(&timeout, "timeout", 15*time.Minute, "how long --wait waits")
	return cmd
}

// nightly is the template's default schedule, what --date means by a day.
const nightly = 2 * time.Hour

func parseDate(text string, now time.Time) (lake.Run, error) {
	if text == "" {
		return lake.NewRun(now), nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return lake.NewRun(day.Add(nightly)), nil
	}
	run, err := lake.ParseRun(text)
	if err != nil {
		return "", fmt.Errorf("--date %q: want a day such as 2026-11-22, or a scheduled time such as 2026-11-22T02:00:00Z", text)
	}
	return run, nil
}

// startBatch invokes the extractor asynchronously for each table, with the input that the schedules send.
func (s *stack) startBatch(ctx context.Context, run lake.Run) error {
	function, err := s.output("ExtractorFunctionName")
	if err != nil {
		return err
	}
	client := lambda.NewFromConfig(s.cfg)
	for _, table := range s.dataset.TableNames() {
		payload, err := json.Marshal(map[string]string{"table": table, "scheduled_time": run.Time().Format(time.RFC3339)})
		if err != nil {
			return err
		}
		_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: payload})
		if err != nil {
			return fmt.Errorf("start extraction of %s: %w", table, err)
		}
	}
	return nil
}

// waitForBatch prints a line for each stage as it completes.
func (s *stack) waitForBatch(ctx context.Context, run lake.Run, start time.Time, timeout time.Duration, out io.Writer) ([]stage, error) {
	failures, err := s.failedInvocations(ctx)
	if err != nil {
		return nil, err
	}
	shown := map[string]bool{}
	for {
		stages, err := s.batch(ctx, run)
		if err != nil {
			return nil, err
		}
		for _, st := range stages {
			if st.Done && !shown[st.Marker] {
				shown[st.Marker] = true
				fmt.Fprintf(out, "%6.1fs  %-9s  %-14s  %7d rows  %s\n", time.Since(start).Seconds(), st.Stage, st.Name, st.Rows, st.Detail)
			}
		}
		trained := stages[len(stages)-1]
		if trained.Replaced != "" {
			return nil, fmt.Errorf("run %s is replaced: run %s of the same day is newer and published", run, trained.Replaced)
		}
		if trained.Done {
			state, err := s.modelState(ctx, trained.Name)
			if err != nil {
				return nil, err
			}
			if state != "" && state != "loading" && state != "ready" {
				load := stage{Stage: "load", Name: trained.Name, Run: run, Done: true, Rows: trained.Rows, Detail: state, Marker: trained.Marker}
				fmt.Fprintf(out, "%6.1fs  %-9s  %s is %s\n", time.Since(start).Seconds(), load.Stage, load.Name, state)
				return append(stages, load), nil
			}
		}
		now, err := s.failedInvocations(ctx)
		if err != nil {
			return nil, err
		}
		if now > failures {
			return nil, fmt.Errorf("run %s: an invocation failed for good; its message is in %s, and its log says why (make logs-<function>)",
				run, s.outputs["FailedInvocationsQueueUrl"])
		}
		if time.Since(start) > timeout {
			return nil, fmt.Errorf("run %s is not done after %s: missing %s; see make logs-<function>", run, timeout, missing(stages))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func missing(stages []stage) string {
	var names []string
	for _, st := range stages {
		if !st.Done {
			names = append(names, st.Stage+" "+st.Name)
		}
	}
	if names == nil {
		return "the model in the database (loader)"
	}
	return strings.Join(names, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
