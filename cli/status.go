package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
)

// status is what `millrace status` shows.
type status struct {
	Stack string      `json:"stack"`
	Runs  []runStatus `json:"runs"`
	versions
	Stream      stream `json:"stream"`
	Failed      int    `json:"failed_invocations"`
	NotSent     int    `json:"undelivered_events"`
	Quarantined int    `json:"quarantined_events"` // refused today or yesterday (UTC)
}

// stream is how the recommender keeps up with the events.
type stream struct {
	State      string   `json:"state"`       // of the event source mapping: Enabled, Disabled, …
	LastResult string   `json:"last_result"` // of its last invocation
	LagMs      *float64 `json:"lag_ms"`      // age of the oldest event when the recommender got it; null: no figure in lagWindow
}

// lagWindow is how far back a figure still says something about now.
const lagWindow = 15 * time.Minute

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
	if now.versions, err = s.versions(ctx); err != nil {
		return now, err
	}
	if now.Stream, err = s.stream(ctx); err != nil {
		return now, err
	}
	if now.Failed, err = s.queueLength(ctx, "FailedInvocationsQueueUrl"); err != nil {
		return now, err
	}
	for _, day := range []time.Time{time.Now(), time.Now().AddDate(0, 0, -1)} {
		keys, err := s.lake.List(ctx, lake.QuarantineDir("recommender", lake.Day(day)))
		if err != nil {
			return now, err
		}
		now.Quarantined += len(keys)
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
			} else if st.Detail != "" {
				fmt.Fprintf(table, "  …\t%s\t%s\t%d rows\t%s so far\n", st.Stage, st.Name, st.Rows, st.Detail)
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
	if now.Experiment != nil {
		fmt.Fprintln(w, "These two serve, until the experiment ends:")
		printExperiment(w, now.Experiment)
	}
	lag := fmt.Sprintf("no figure of its lag in the last %.0f minutes", lagWindow.Minutes())
	if now.Stream.LagMs != nil {
		lag = fmt.Sprintf("%.1f s behind", *now.Stream.LagMs/1000)
	}
	fmt.Fprintf(w, "Stream: %s, last result %q, %s\nFailed invocations: %d, undelivered events: %d\nEvents in quarantine/ since yesterday: %d\n", now.Stream.State, now.Stream.LastResult, lag, now.Failed, now.NotSent, now.Quarantined)
}

func (s *stack) stream(ctx context.Context) (stream, error) {
	function, err := s.output("RecommenderFunctionName")
	if err != nil {
		return stream{}, err
	}
	mappings, err := lambda.NewFromConfig(s.cfg).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: &function})
	if err != nil {
		return stream{}, fmt.Errorf("event source mapping of %s: %w", function, err)
	}
	if len(mappings.EventSourceMappings) == 0 {
		return stream{}, fmt.Errorf("function %s reads no stream: deploy the stack again", function)
	}
	mapping := mappings.EventSourceMappings[0]
	lag, err := s.streamLag(ctx, function)
	return stream{aws.ToString(mapping.State), aws.ToString(mapping.LastProcessingResult), lag}, err
}

// streamLag asks CloudWatch for the recommender's iterator age, in milliseconds.
func (s *stack) streamLag(ctx context.Context, function string) (*float64, error) {
	end := time.Now()
	out, err := cloudwatch.NewFromConfig(s.cfg).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(end.Add(-lagWindow)), EndTime: &end, ScanBy: types.ScanByTimestampDescending,
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

// failureOf looks for a failed invocation of a run among those an operator has not dealt with, and returns its error message.
// It only looks: the messages stay visible. What failed before since is an earlier attempt's.
func (s *stack) failureOf(ctx context.Context, run lake.Run, since time.Time) (string, error) {
	queue, err := s.output("FailedInvocationsQueueUrl")
	if err != nil {
		return "", err
	}
	out, err := sqs.NewFromConfig(s.cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 0})
	if err != nil {
		return "", fmt.Errorf("queue of failed invocations: %w", err)
	}
	for _, m := range out.Messages {
		if reason := failure(aws.ToString(m.Body), run, since); reason != "" {
			return reason, nil
		}
	}
	return "", nil
}

// failure reads what Lambda sends to an on-failure destination, and what AWS Batch says of a failed job; it is "" for another run's. An extraction is known by its
// scheduled time, the other stages by their marker's day.
func failure(body string, run lake.Run, since time.Time) string {
	var message struct {
		Timestamp       time.Time
		RequestContext  struct{ FunctionArn string }
		RequestPayload  json.RawMessage
		ResponsePayload struct{ ErrorMessage string }

		Time   time.Time // of Batch
		Detail struct {
			JobName, StatusReason string
			Parameters            json.RawMessage
		}
	}
	if json.Unmarshal([]byte(body), &message) != nil || message.Timestamp.Before(since) && message.Time.Before(since) {
		return ""
	}
	request := string(message.RequestPayload) + string(message.Detail.Parameters)
	if !strings.Contains(request, run.Time().Format(time.RFC3339)) && !strings.Contains(request, "dt="+run.Date()+"/") && !strings.Contains(request, string(run)) {
		return ""
	}
	if job := message.Detail; job.JobName != "" {
		return fmt.Sprintf("job %s: %s; see its log", job.JobName, job.StatusReason)
	}
	return cmp.Or(message.ResponsePayload.ErrorMessage, "see the log of "+message.RequestContext.FunctionArn)
}

// queueLength counts the messages of a queue, those that somebody is just looking at too.
func (s *stack) queueLength(ctx context.Context, output string) (int, error) {
	url, err := s.output(output)
	if err != nil {
		return 0, err
	}
	names := []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := sqs.NewFromConfig(s.cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return 0, fmt.Errorf("queue %s: %w", url[strings.LastIndex(url, "/")+1:], err)
	}
	total := 0
	for _, name := range names {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("queue %s: %s: %w", url[strings.LastIndex(url, "/")+1:], name, err)
		}
		total += n
	}
	return total, nil
}
