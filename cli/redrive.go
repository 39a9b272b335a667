package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
)

func newRedrive(o *options) *cobra.Command {
	var from, to string
	var prefixes []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Send the recommender again what it rejected or had to give up, after a fix",
		Long: `Send the recommender again the events it rejected (quarantine/recommender/) and the batches that its event source mapping gave up
(aws/lambda/). An event keeps its event_id: what it has done before is not done twice. What is answered is moved to redriven/, what is
rejected again stays, with the new reason, and the exit status is 2. It is 1 if anything could not be answered now.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			selection := redrive.Selection{Prefixes: prefixes}
			var err error
			if selection.From, selection.To, err = parsePeriod(from, to, now); err != nil {
				return err
			}
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			list, err := redrive.Find(cmd.Context(), s.lake, selection)
			if err != nil {
				return err
			}
			if dryRun {
				s.foretell(list)
			} else {
				err = redrive.Send(cmd.Context(), s.lake, s.recommender, list, now.UTC().Format(time.RFC3339Nano))
			}
			out := summarize(list)
			err = errors.Join(err, o.show(cmd.OutOrStdout(), out, func(w io.Writer) { out.print(w, dryRun) }))
			if err != nil {
				return err
			}
			return out.left(dryRun)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "only what arrived, or was given up, from this day (2026-11-22) or time (2026-11-22T09:30:00Z) on")
	cmd.Flags().StringVar(&to, "to", "", "and before this one; default: now")
	cmd.Flags().StringSliceVar(&prefixes, "prefix", []string{quarantine.Root, redrive.GivenUp}, "only objects whose keys begin so; "+redrive.Done+" to send what was sent before once more")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be sent, and what this millrace would reject again")
	return cmd
}

// parsePeriod reads --from and --to: days or times, in UTC; "" is the beginning, and now.
func parsePeriod(from, to string, now time.Time) (start, end time.Time, err error) {
	end = now
	for _, flag := range []struct {
		name, text string
		into       *time.Time
	}{{"--from", from, &start}, {"--to", to, &end}} {
		if flag.text == "" {
			continue
		}
		day, dayErr := time.Parse(time.DateOnly, flag.text)
		at, timeErr := time.Parse(time.RFC3339, flag.text)
		switch {
		case dayErr == nil:
			*flag.into = day
		case timeErr == nil:
			*flag.into = at
		default:
			return start, end, fmt.Errorf("%s %q: want a day such as 2026-11-22, or a time such as 2026-11-22T09:30:00Z", flag.name, flag.text)
		}
	}
	if !start.Before(end) {
		return start, end, fmt.Errorf("--from %s is not before --to %s", start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	return start, end, nil
}

// recommender invokes the stream's function as its event source mapping does.
func (s *stack) recommender(ctx context.Context, batch events.KinesisEvent) (response events.KinesisEventResponse, err error) {
	function, err := s.output("RecommenderFunctionName")
	if err != nil {
		return response, err
	}
	payload, err := json.Marshal(batch)
	if err != nil {
		return response, err
	}
	out, err := lambda.NewFromConfig(s.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return response, fmt.Errorf("recommender: %w", err)
	}
	if out.FunctionError != nil {
		return response, fmt.Errorf("recommender: %s", functionError(out.Payload))
	}
	return response, json.Unmarshal(out.Payload, &response)
}

// foretell says which events this build would reject: the function's own, if they are of one source.
func (s *stack) foretell(list []*redrive.Object) {
	for _, o := range list {
		payloads := o.Payloads()
		if len(payloads) != 1 {
			continue // a batch that was given up: its events were not the reason
		}
		if _, err := event.Parse(payloads[0], s.dataset.Event); err != nil {
			o.Outcome, o.Reason = redrive.Again, err.Error()
		}
	}
}

// redriven is what a redrive has done.
type redriven struct {
	Counts  map[string]int    `json:"counts"` // objects by outcome
	Events  int               `json:"events"` // of all of them
	Objects []*redrive.Object `json:"objects"`
}

func summarize(list []*redrive.Object) redriven {
	out := redriven{Counts: map[string]int{}, Objects: list}
	for _, o := range list {
		out.Counts[o.Outcome]++
		out.Events += o.Events
	}
	return out
}

// left is an error if objects lie where they did that should not.
func (r redriven) left(dryRun bool) error {
	if n := r.Counts[redrive.Failed] + r.Counts[redrive.Unread]; n > 0 {
		return fmt.Errorf("%s could not be sent: see above for the reasons", plural(n, "object"))
	}
	if again := r.Counts[redrive.Again]; again > 0 && !dryRun {
		return rejectedEvents(again) // an object of the quarantine is one event
	}
	return nil
}

func (r redriven) print(w io.Writer, dryRun bool) {
	for _, o := range r.Objects {
		if o.Outcome != redrive.Redriven {
			fmt.Fprintf(w, "%-10s %s  %s: %s\n", o.Outcome, o.Key, plural(o.Events, "event"), o.Reason)
		}
	}
	if dryRun {
		fmt.Fprintf(w, "%s with %s. Of the objects %d would be sent and answered, %d be rejected again, %d cannot be read\n", plural(len(r.Objects), "object"), plural(r.Events, "event"),
			r.Counts[redrive.Waiting], r.Counts[redrive.Again], r.Counts[redrive.Unread])
		return
	}
	fmt.Fprintf(w, "%s with %s. Of the objects %d were answered, %d rejected again, %d not answered now, %d not sent, %d cannot be read\n", plural(len(r.Objects), "object"), plural(r.Events, "event"),
		r.Counts[redrive.Redriven], r.Counts[redrive.Again], r.Counts[redrive.Failed], r.Counts[redrive.Waiting], r.Counts[redrive.Unread])
}
