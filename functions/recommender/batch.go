package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/kpl"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
)

// shopEvent is a valid event of a batch.
type shopEvent struct {
	record  int    // position in the batch
	id      string // <shard>:<sequence>[:<sub>]
	arrived time.Time
	event   event.Event
}

// rejection is an event that can never be processed.
type rejection struct {
	record       int
	id           string
	arrived      time.Time
	partitionKey string
	redrive      string // "" unless an operator sent it again
	reason       string
	payload      []byte
}

// read takes a batch apart: aggregated records into their events, and events into valid and rejected ones.
func (r *recommender) read(records []events.KinesisEventRecord) (valid []shopEvent, rejected []rejection) {
	for n, record := range records {
		k := record.Kinesis
		_, again, _ := strings.Cut(record.EventName, redrive.EventName)
		reject := func(id string, err error, payload []byte) {
			rejected = append(rejected, rejection{n, id, k.ApproximateArrivalTimestamp.Time, k.PartitionKey, again, err.Error(), payload})
		}
		one := func(id string, payload []byte) {
			e, err := event.Parse(payload, r.names)
			if err != nil {
				reject(id, err, payload)
				return
			}
			valid = append(valid, shopEvent{n, id, k.ApproximateArrivalTimestamp.Time, e})
		}
		if !kpl.Aggregated(k.Data) {
			one(record.EventID, k.Data)
			continue
		}
		payloads, err := kpl.Split(k.Data)
		if err != nil {
			reject(record.EventID, err, k.Data)
			continue
		}
		for sub, payload := range payloads {
			one(fmt.Sprintf("%s:%d", record.EventID, sub), payload)
		}
	}
	return valid, rejected
}

// putAside writes a rejected event where an operator finds it. Its key and content are made of the event alone, so a
// repeated batch writes the same object.
func (r *recommender) putAside(ctx context.Context, bad rejection) error {
	file := quarantine.New(bad.id, bad.reason, bad.arrived, bad.partitionKey, bad.redrive, bad.payload)
	body, err := json.Marshal(file)
	if err == nil {
		err = r.quarantine.Put(ctx, file.Key(), bytes.NewReader(body))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("quarantine of event %s", bad.id), err)
	}
	slog.WarnContext(ctx, "event put into quarantine", "event", bad.id, "reason", bad.reason)
	return nil
}
