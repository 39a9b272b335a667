// Package redrive sends the recommender again what it rejected, and the batches that its event source mapping gave up.
//
// It invokes the function as the mapping does, with the records as they were, instead of putting them into the stream: the event keeps its
// event_id, so whatever the first delivery has done is not done twice, and activity/, which has it already, does not get it again.
package redrive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/quarantine"
)

// GivenUp holds the batches that the event source mapping gave up: Lambda fixes the prefix,
// aws/lambda/<mapping>/<shard>/<YYYY-MM-DDThh.mm.ss>-<uuid>.
const GivenUp = "aws/lambda/"

// Done precedes the key of what was sent. It is kept, and found again only by whoever asks for it.
const Done = "redriven/"

// EventName stands in a record's eventName, followed by the redrive's name, so that what is rejected again says so.
const EventName = "millrace:redrive:"

const (
	// Of the quarantine's events so many are sent at once: the event source mapping's own batch size (template.yaml).
	maxEvents = 100
	// Lambda takes 6 MB synchronously; in JSON a payload is a third longer.
	maxBytes = 4 << 20
	// So many objects are read or moved at a time: an hour without the database puts aside hundreds of thousands, and S3 takes some milliseconds
	// for each.
	objectsAtOnce = 32
)

// What became of an object.
const (
	Waiting  = "waiting"  // not sent yet
	Redriven = "redriven" // answered, and moved to redriven/
	Again    = "rejected" // rejected again: it stays where it is
	Failed   = "failed"   // not answered now: it stays where it is
	Unread   = "unreadable"
)

// Object is a quarantined event, or a batch that was given up.
type Object struct {
	Key     string    `json:"key"`
	Events  int       `json:"events"`
	Arrived time.Time `json:"arrived_at"`
	Reason  string    `json:"reason"` // why it lies there; after a redrive, why it still does
	Outcome string    `json:"outcome"`

	records []events.KinesisEventRecord
}

// Payloads are the events as the stream held them.
func (o *Object) Payloads() [][]byte {
	list := make([][]byte, len(o.records))
	for n, r := range o.records {
		list[n] = r.Kinesis.Data
	}
	return list
}

// Selection is what to send: objects below the prefixes whose time, arrival or giving up, is in [From, To).
type Selection struct {
	Prefixes []string
	From, To time.Time
}

// Find reads what is selected, in the order of the keys: by day, shard and sequence number. What cannot be read is among it and says why.
// It is in memory whole.
func Find(ctx context.Context, store lake.Store, s Selection) ([]*Object, error) {
	var list []*Object
	for _, prefix := range s.Prefixes {
		keys, err := store.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		found := make([]*Object, len(keys))
		group, reading := errgroup.WithContext(ctx)
		group.SetLimit(objectsAtOnce)
		for n, key := range keys {
			group.Go(func() error {
				body, err := read(reading, store, key)
				if errors.Is(err, lake.ErrNotFound) {
					return nil // another redrive has just moved it
				} else if err != nil {
					return err
				}
				found[n] = parse(key, body)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		for _, o := range found {
			if o != nil && (o.Outcome == Unread || !o.Arrived.Before(s.From) && o.Arrived.Before(s.To)) {
				list = append(list, o)
			}
		}
	}
	return list, nil
}

func read(ctx context.Context, store lake.Store, key string) ([]byte, error) {
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// parse returns nil for an object that is neither.
func parse(key string, body []byte) *Object {
	var err error
	o := &Object{Key: key, Outcome: Waiting}
	switch at := strings.TrimPrefix(key, Done); {
	case strings.HasPrefix(at, quarantine.Root):
		err = o.quarantined(body)
	case strings.HasPrefix(at, GivenUp):
		err = o.givenUp(body)
	default:
		return nil
	}
	if err != nil {
		o.Outcome, o.Reason = Unread, err.Error()
	}
	return o
}

func (o *Object) quarantined(body []byte) error {
	e, err := quarantine.Parse(body)
	if err != nil {
		return err
	}
	_, sequence, found := strings.Cut(e.EventID, ":")
	if !found {
		return fmt.Errorf("event_id %q: want <shard>:<sequence>", e.EventID)
	}
	sequence, _, _ = strings.Cut(sequence, ":")
	o.Arrived, o.Reason, o.Events = e.ArrivedAt, e.Reason, 1
	o.records = []events.KinesisEventRecord{{
		EventSource: "aws:kinesis", EventVersion: "1.0", EventID: e.EventID,
		Kinesis: events.KinesisRecord{
			KinesisSchemaVersion: "1.0", PartitionKey: e.PartitionKey, SequenceNumber: sequence, Data: e.Data(),
			ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: e.ArrivedAt},
		},
	}}
	return nil
}

// givenUp reads what Lambda writes for a discarded batch. payload is the whole event that the function was given: AWS's example shows it as
// a text; an object is taken too.
// https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
func (o *Object) givenUp(body []byte) error {
	var file struct {
		RequestContext struct {
			Condition string `json:"condition"`
		} `json:"requestContext"`
		Timestamp time.Time       `json:"timestamp"`
		Batch     *struct{}       `json:"KinesisBatchInfo"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(body, &file); err != nil {
		return fmt.Errorf("no batch that was given up: %w", err)
	}
	if file.Batch == nil || len(file.Payload) == 0 {
		return errors.New("no batch of Kinesis records with its payload")
	}
	payload := []byte(file.Payload)
	var text string
	if json.Unmarshal(payload, &text) == nil {
		payload = []byte(text)
	}
	var batch events.KinesisEvent
	if err := json.Unmarshal(payload, &batch); err != nil || len(batch.Records) == 0 {
		return errors.Join(errors.New("its payload is no batch of Kinesis records"), err)
	}
	o.Arrived, o.Reason, o.Events, o.records = file.Timestamp, file.RequestContext.Condition, len(batch.Records), batch.Records
	return nil
}

// Invoke runs the recommender on a batch.
type Invoke func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)

// Send invokes the function with what waits, object by object or, of the quarantine, many at once, and moves what was answered to Done.
// The objects say what became of them. It ends at the first invocation that fails: the next would fail as well. Interrupted at any
// moment, it has lost nothing, and what it sends again is the same events. The name is of this redrive alone: by it an object that the
// function has rejected now is told from one that it rejected before.
func Send(ctx context.Context, store lake.Store, invoke Invoke, list []*Object, name string) error {
	for _, parcel := range parcels(list) {
		if err := send(ctx, store, invoke, parcel, name); err != nil {
			return err
		}
	}
	return nil
}

// parcels are the objects that are sent together.
func parcels(list []*Object) (all [][]*Object) {
	size := 0
	open := false // the last parcel takes more events of the quarantine
	for _, o := range list {
		if o.Outcome != Waiting {
			continue
		}
		single := strings.HasPrefix(strings.TrimPrefix(o.Key, Done), quarantine.Root)
		bytes := len(o.records[0].Kinesis.Data)
		if single && open && len(all[len(all)-1]) < maxEvents && size+bytes <= maxBytes {
			all[len(all)-1], size = append(all[len(all)-1], o), size+bytes
			continue
		}
		all, size, open = append(all, []*Object{o}), bytes, single
	}
	return all
}

func send(ctx context.Context, store lake.Store, invoke Invoke, parcel []*Object, name string) error {
	var batch events.KinesisEvent
	var owner []*Object // of each record
	for _, o := range parcel {
		for _, r := range o.records {
			r.EventName = EventName + name
			batch.Records, owner = append(batch.Records, r), append(owner, o)
		}
	}
	response, err := invoke(ctx, batch)
	if err != nil {
		for _, o := range parcel {
			o.Outcome, o.Reason = Failed, err.Error()
		}
		return fmt.Errorf("%s: %w", parcel[0].Key, err)
	}
	if len(response.BatchItemFailures) > 0 {
		sequence := response.BatchItemFailures[0].ItemIdentifier
		from := slices.IndexFunc(batch.Records, func(r events.KinesisEventRecord) bool { return r.Kinesis.SequenceNumber == sequence })
		for _, o := range owner[max(0, from):] {
			o.Outcome, o.Reason = Failed, "not answered now: look at the recommender's log and send it again"
		}
	}
	var group errgroup.Group
	group.SetLimit(objectsAtOnce)
	for _, o := range parcel {
		if o.Outcome == Waiting {
			group.Go(func() error { return o.settle(ctx, store, name) })
		}
	}
	return group.Wait()
}

// settle moves an object that was answered, unless the function has just rejected it anew.
func (o *Object) settle(ctx context.Context, store lake.Store, name string) error {
	key := strings.TrimPrefix(o.Key, Done) // where it was, and where the function puts it again
	o.Outcome = Redriven
	body, err := read(ctx, store, key)
	if errors.Is(err, lake.ErrNotFound) { // moved before
		return nil
	} else if err != nil {
		return err
	}
	if e, err := quarantine.Parse(body); err == nil && e.Redrive == name {
		o.Outcome, o.Reason = Again, e.Reason
		return nil
	}
	if key != o.Key {
		return nil
	}
	if err := store.Put(ctx, Done+key, bytes.NewReader(body)); err != nil {
		return err
	}
	return store.Delete(ctx, key)
}
