package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/kpl"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
)

// origin is what a batch says of an event.
type origin struct {
	record       int    // position in the batch
	id           string // <shard>:<sequence>[:<sub>]
	arrived      time.Time
	partitionKey string
	redrive      string // "" unless an operator sent it again
	payload      []byte
}

// shopEvent is a valid event of a batch.
type shopEvent struct {
	origin
	event event.Event
}

// rejection is an event that can never be processed.
type rejection struct {
	origin
	reason string
}

// read takes a batch apart: aggregated records into their events, and events into valid and rejected ones.
func (r *recommender) read(records []events.KinesisEventRecord) (valid []shopEvent, rejected []rejection) {
	for n, record := range records {
		k := record.Kinesis
		_, again, _ := strings.Cut(record.EventName, redrive.EventName)
		from := func(id string, payload []byte) origin {
			return origin{n, id, k.ApproximateArrivalTimestamp.Time, k.PartitionKey, again, payload}
		}
		one := func(id string, payload []byte) {
			e, err := event.Parse(payload, r.names)
			if err != nil {
				rejected = append(rejected, rejection{from(id, payload), err.Error()})
				return
			}
			valid = append(valid, shopEvent{from(id, payload), e})
		}
		if !kpl.Aggregated(k.Data) {
			one(record.EventID, k.Data)
			continue
		}
		payloads, err := kpl.Split(k.Data)
		if err != nil {
			rejected = append(rejected, rejection{from(record.EventID, k.Data), err.Error()})
			continue
		}
		for sub, payload := range payloads {
			one(fmt.Sprintf("%s:%d", record.EventID, sub), payload)
		}
	}
	return valid, rejected
}

// atOnce is how many objects are written at a time: an aggregated record may have thousands of bad events, and S3 takes some milliseconds for each.
const atOnce = 16

// putAllAside returns the first record with an event that could not be put aside, or end.
func (r *recommender) putAllAside(ctx context.Context, rejected []rejection, end int) (retry int, err error) {
	var mutex sync.Mutex
	retry, kept := end, 0
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, bad := range rejected {
		group.Go(func() error {
			err := r.putAside(ctx, bad)
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				retry = min(retry, bad.record)
			} else {
				kept++
			}
			return err
		})
	}
	err = group.Wait()
	r.quarantined(kept)
	return retry, err
}

func (r *recommender) quarantined(n int) {
	if n == 0 {
		return
	}
	r.metrics.Emit(nil, metrics.Metric{Name: "EventsQuarantined", Unit: metrics.Count, Value: float64(n)})
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
