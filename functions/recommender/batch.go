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
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/kpl"
	"github.com/millrace/millrace/shared/lake"
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
	reason       string
	payload      []byte
}

// read takes a batch apart: aggregated records into their events, and events into valid and rejected ones.
func (r *recommender) read(records []events.KinesisEventRecord) (valid []shopEvent, rejected []rejection) {
	for n, record := range records {
		k := record.Kinesis
		one := func(id string, payload []byte) {
			e, err := event.Parse(payload, r.names)
			if err != nil {
				rejected = append(rejected, rejection{n, id, k.ApproximateArrivalTimestamp.Time, k.PartitionKey, err.Error(), payload})
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
			rejected = append(rejected, rejection{n, record.EventID, k.ApproximateArrivalTimestamp.Time, k.PartitionKey, err.Error(), k.Data})
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
	file := struct {
		EventID      string    `json:"event_id"`
		Reason       string    `json:"reason"`
		ArrivedAt    time.Time `json:"arrived_at"`
		PartitionKey string    `json:"partition_key"`
		Payload      *string   `json:"payload,omitempty"`        // if it is UTF-8
		Base64       []byte    `json:"payload_base64,omitempty"` // if it is not
	}{EventID: bad.id, Reason: bad.reason, ArrivedAt: bad.arrived.UTC(), PartitionKey: bad.partitionKey}
	if utf8.Valid(bad.payload) {
		text := string(bad.payload)
		file.Payload = &text
	} else {
		file.Base64 = bad.payload
	}
	body, err := json.Marshal(file)
	if err == nil {
		key := lake.QuarantineDir("recommender", lake.Day(bad.arrived)) + strings.ReplaceAll(bad.id, ":", "-") + ".json"
		err = r.quarantine.Put(ctx, key, bytes.NewReader(body))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("quarantine of event %s", bad.id), err)
	}
	slog.WarnContext(ctx, "event put into quarantine", "event", bad.id, "reason", bad.reason)
	return nil
}
