package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

func newRun(o *options) *cobra.Command {
	var date string
	var wait, full bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the batch of a day, or finish it: every table is extracted, and the rest follows by itself",
		Long: `Start the batch of a day, as the schedule would. The run is named for the given time, so the same call again repeats nothing that
is done, and starts every stage that is missing though what it needs is there. The rows are those that MySQL has now: the date only
names the run.`,
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
			if _, notADay := time.Parse(time.DateOnly, date); notADay == nil {
				if run, err = s.runOfDay(cmd.Context(), run); err != nil {
					return err
				}
			}
			start := time.Now()
			if err := s.startBatch(cmd.Context(), run, full); err != nil {
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
	cmd.Flags().StringVar(&date, "date", "", "the day (2026-11-22: its newest run or, before there is one, that of 02:00 UTC) or the exact scheduled time (2026-11-22T02:00:00Z); default: now, to the second")
	cmd.Flags().BoolVar(&full, "full", false, "read incremental tables whole this once")
	cmd.Flags().BoolVar(&wait, "wait", false, "show each stage as it completes, until the model is active or rejected")
	cmd.Flags().DurationVar(&timeout, "timeout", 15*time.Minute, "how long --wait waits")
	return cmd
}

// nightly is the template's default schedule, what --date means by a day that has no run yet.
const nightly = 2 * time.Hour

func parseDate(text string, now time.Time) (lake.Run, error) {
	if text == "" {
		return lake.NewRun(now), nil
	}
	run, err := lake.ParseRun(text)
	if day, notADay := time.Parse(time.DateOnly, text); notADay == nil {
		run, err = lake.NewRun(day.Add(nightly)), nil
	}
	if err != nil {
		return "", fmt.Errorf("--date %q: want a day such as 2026-11-22, or a scheduled time such as 2026-11-22T02:00:00Z", text)
	}
	if run > lake.NewRun(now) {
		return "", fmt.Errorf("--date %q: run %s is in the future: it would stand before every later night's", text, run)
	}
	return run, nil
}

// runOfDay is the newest run of a run's day, or the run itself: at what hour the nights begin is the stack's own (BatchSchedule).
func (s *stack) runOfDay(ctx context.Context, of lake.Run) (lake.Run, error) {
	runs, err := s.runs(ctx)
	for _, run := range runs {
		if run.Date() == of.Date() {
			return run, err
		}
	}
	return of, err
}

// startBatch starts what is missing of a run: the extraction of each table, with the input that the schedules send, and every stage
// whose input is published, with the event that S3 sent then. What is done already finds that out by itself.
func (s *stack) startBatch(ctx context.Context, run lake.Run, full bool) error {
	stages, err := s.batch(ctx, run)
	if err != nil {
		return err
	}
	extracted := map[string]stage{}
	var curated *stage // any table of the training set: it looks for the others itself
	whole := true
	for _, st := range stages {
		switch {
		case st.Replaced != "":
			return nil // waiting says so
		case st.Stage == "extract":
			extracted[st.Name] = st
			if !st.Done {
				event := map[string]string{"table": st.Name, "scheduled_time": run.Time().Format(time.RFC3339)}
				if full {
					event["mode"] = dataset.Full
				}
				err = s.start(ctx, "ExtractorFunctionName", event)
			} else if full && st.mode != dataset.Full {
				err = fmt.Errorf("table %s of run %s is extracted already, in mode %s: name another time with --date", st.Name, run, st.mode)
			}
		case st.Stage == "partition" && slices.Contains(s.dataset.TrainingTables(), st.Name):
			curated, whole = &st, whole && st.Done
			fallthrough
		case st.Stage == "partition":
			if !st.Done && extracted[st.Name].Done {
				err = s.announce(ctx, "PartitionerFunctionName", extracted[st.Name].Marker)
			}
		case st.Stage == "trainset" && !st.Done && whole && curated != nil:
			err = s.announce(ctx, "TrainsetFunctionName", curated.Marker)
		case st.Stage == "train" && !st.Done && st.Marker != "":
			err = s.announce(ctx, "TrainerFunctionName", lake.TrainingMarker(s.dataset.Name, run))
		case st.Stage == "train" && st.Done:
			var model *modelVersion
			if model, err = s.model(ctx, st.Name); err == nil && model == nil {
				err = s.announce(ctx, "LoaderFunctionName", st.Marker)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// announce starts a function with the event that S3 sends when a marker is created.
func (s *stack) announce(ctx context.Context, function, marker string) error {
	bucket, err := s.output("LakeBucketName")
	if err != nil {
		return err
	}
	return s.start(ctx, function, map[string]any{
		"source": "aws.s3", "detail-type": "Object Created",
		"detail": map[string]any{"bucket": map[string]string{"name": bucket}, "object": map[string]string{"key": marker}},
	})
}

// start invokes a function asynchronously.
func (s *stack) start(ctx context.Context, output string, event any) error {
	function, err := s.output(output)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	_, err = lambda.NewFromConfig(s.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: payload})
	if err != nil {
		return fmt.Errorf("start %s: %w", function, err)
	}
	return nil
}

// waitForBatch prints a line for each stage as it completes.
func (s *stack) waitForBatch(ctx context.Context, run lake.Run, start time.Time, timeout time.Duration, out io.Writer) ([]stage, error) {
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
			model, err := s.model(ctx, trained.Name)
			if err != nil {
				return nil, err
			}
			if model != nil {
				load := stage{Stage: "load", Name: trained.Name, Run: run, Done: true, Rows: trained.Rows, Detail: model.State, Marker: trained.Marker}
				fmt.Fprintf(out, "%6.1fs  %-9s  %s is %s (%s)\n", time.Since(start).Seconds(), load.Stage, load.Name, model.State, model.Reason)
				return append(stages, load), nil
			}
		}
		if reason, err := s.failureOf(ctx, run, start); err != nil {
			return nil, err
		} else if reason != "" {
			return nil, fmt.Errorf("run %s failed: %s", run, reason)
		}
		if time.Since(start) > timeout {
			return nil, fmt.Errorf("run %s is not done after %s: missing %s; see make logs-<function>, and run this again to start what is missing",
				run, timeout, missing(stages))
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
