package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/event"
)

// PutRecords takes 500 records a call.
const putRecords = 500

func newSend(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "send FILE",
		Short: "Put shop events, one JSON object a line, into the event stream",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			records, err := s.readEvents(args[0])
			if err != nil {
				return err
			}
			for start := 0; start < len(records); start += putRecords {
				if err := s.put(cmd.Context(), records[start:min(start+putRecords, len(records))]); err != nil {
					return err
				}
			}
			return o.show(cmd.OutOrStdout(), map[string]int{"sent": len(records)}, func(w io.Writer) {
				fmt.Fprintf(w, "%s in the stream\n", plural(len(records), "event"))
			})
		},
	}
}

// readEvents checks every line before any is sent. A user's events go to one shard, in order.
func (s *stack) readEvents(path string) ([]types.PutRecordsRequestEntry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var records []types.PutRecordsRequestEntry
	for line, err := range event.Lines(bytes.NewReader(text)) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if line.Err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line.Number, line.Err)
		}
		e, err := event.Parse(line.Payload, s.dataset.Event)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line.Number, err)
		}
		key := e.User
		if key == "" {
			key = e.Session
		}
		if key == "" {
			key = fmt.Sprint(line.Number)
		}
		records = append(records, types.PutRecordsRequestEntry{Data: bytes.Clone(line.Payload), PartitionKey: aws.String(key)})
	}
	return records, nil
}

// put sends one call's records, again those that the stream had no room for.
func (s *stack) put(ctx context.Context, records []types.PutRecordsRequestEntry) error {
	stream, err := s.output("EventStreamName")
	if err != nil {
		return err
	}
	client := kinesis.NewFromConfig(s.cfg)
	const attempts = 5
	for range attempts {
		out, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &stream, Records: records})
		if err != nil {
			return fmt.Errorf("stream %s: %w", stream, err)
		}
		var failed []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				failed = append(failed, records[i])
			}
		}
		if records = failed; len(records) == 0 {
			return nil
		}
	}
	return fmt.Errorf("stream %s refused %d events %d times: it is throttled, send fewer at once or raise EventShards", stream, len(records), attempts)
}
