package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
)

// status is what `millrace status` shows.
type status struct {
	Stack    string         `json:"stack"`
	Runs     []runStatus    `json:"runs"`
	Models   []modelVersion `json:"models"`
	StreamMs *float64       `json:"stream_lag_ms"` // null: no event was processed lately
	Failed   int            `json:"failed_invocations"`
	NotSent  int            `json:"undelivered_events"`
}

type runStatus struct {
	Run    lake.Run `json:"run"`
	Stages []stage  `json:"stages"`
}

func newStatus(o *options) *cobra.Command {
	var last int
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Runs and their markers, model versions, stream lag, failures",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			now, err := s.status(cmd.Context(), last)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), now, now.print)
		},
	}
	cmd.Flags().IntVar(&last, "last", 3, "how many runs")
	return cmd
}

func (s *stack) status(ctx context.Context, last int) (status, error) {
	now := status{Stack: s.name}
	runs, err := s.runs(ctx)
	if err != nil {
		return now, err
	}
	for _, run := range runs[:min(last, len(runs))] {
		stages, err := s.batch(ctx, run)
		if err != nil {
			return now, err
		}
		now.Runs = append(now.Runs, runStatus{run, stages})
	}
	if now.Models, err = s.models(ctx); err != nil {
		return now, err
	}
	if now.StreamMs, err = s.streamLag(ctx); err != nil {
		return now, err
	}
	if now.Failed, err = s.failedInvocations(ctx); err != nil {
		return now, err
	}
	now.NotSent, err = s.queueLength(ctx, "UndeliveredEventsQueueUrl")
	return now, err
}

func (now status) print(w io.Writer) {
	for _, run := range now.Runs {
		done := 0
		for _, st := range run.Stages {
			if st.Done {
				done++
			}
		}
		last := run.Stages[len(run.Stages)-1]
		if last.Replaced != "" {
			fmt.Fprintf(w, "Run %s: replaced by run %s of the same day\n", run.Run, last.Replaced)
			continue
		}
		fmt.Fprintf(w, "Run %s: %d of %d stages done\n", run.Run, done, len(run.Stages))
		table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		for _, st := range run.Stages {
			if st.Done {
				fmt.Fprintf(table, "  ✓\t%s\t%s\t%d rows\t%s\n", st.Stage, st.Name, st.Rows, st.Detail)
			} else {
				fmt.Fprintf(table, "  …\t%s\t%s\t\twaiting\n", st.Stage, st.Name)
			}
		}
		table.Flush()
	}
	if now.Runs == nil {
		fmt.Fprintln(w, "No run yet: start one with millrace run")
	}
	fmt.Fprintln(w, "Models, newest first")
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	for _, m := range now.Models {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", m.Version, m.State, m.Reason)
	}
	table.Flush()
	lag := "no event processed in the last 15 minutes"
	if now.StreamMs != nil {
		lag = fmt.Sprintf("%.1f s behind", *now.StreamMs/1000)
	}
	fmt.Fprintf(w, "Stream: %s\nFailed invocations: %d, undelivered events: %d\n", lag, now.Failed, now.NotSent)
}

// streamLag is the largest age of an event when the recommender got it, in milliseconds.
func (s *stack) streamLag(ctx context.Context) (*float64, error) {
	function, err := s.output("RecommenderFunctionName")
	if err != nil {
		return nil, err
	}
	end := time.Now()
	out, err := cloudwatch.NewFromConfig(s.cfg).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(end.Add(-15 * time.Minute)), EndTime: &end, ScanBy: types.ScanByTimestampDescending,
		MetricDataQueries: []types.MetricDataQuery{{
			Id: aws.String("lag"),
			MetricStat: &types.MetricStat{
				Metric: &types.Metric{
					Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("IteratorAge"),
					Dimensions: []types.Dimension{{Name: aws.String("FunctionName"), Value: &function}},
				},
				Period: aws.Int32(60), Stat: aws.String("Maximum"),
			},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("stream lag: %w", err)
	}
	for _, result := range out.MetricDataResults {
		if len(result.Values) > 0 {
			return &result.Values[0], nil
		}
	}
	return nil, nil
}

// failedInvocations counts asynchronous invocations that failed for good.
func (s *stack) failedInvocations(ctx context.Context) (int, error) {
	return s.queueLength(ctx, "FailedInvocationsQueueUrl")
}

func (s *stack) queueLength(ctx context.Context, output string) (int, error) {
	url, err := s.output(output)
	if err != nil {
		return 0, err
	}
	out, err := sqs.NewFromConfig(s.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return 0, fmt.Errorf("queue %s: %w", url[strings.LastIndex(url, "/")+1:], err)
	}
	return strconv.Atoi(out.Attributes[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)])
}
