package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/millrace/millrace/shared/event"
)

// eventStream is what is used of Kinesis.
type eventStream interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

var _ eventStream = (*kinesis.Client)(nil)

const (
	// A function URL takes 6 MB, a PutRecords request 5 MiB; a page sends one event of a few hundred bytes.
	maxBody = 1 << 20
	// maxEvents is that of a PutRecords request.
	maxEvents = 500

	putAttempts = 3
	putPause    = 100 * time.Millisecond
)

// accepted says where an event is in the stream; its recommendations carry the event_id.
type accepted struct {
	EventID        string `json:"event_id"`
	ShardID        string `json:"shard_id"`
	SequenceNumber string `json:"sequence_number"`
}

// events takes one event or an array of them: all valid, or none is put.
func (a *api) events(w http.ResponseWriter, q *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes: send fewer events at a time.", maxBody)}
	}
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Detail: "The body ended too early."}
	}
	payloads, err := separate(body)
	if err != nil {
		return err
	}
	entries, err := a.entries(payloads)
	if err != nil {
		return err
	}
	done, err := a.put(q.Context(), entries)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, map[string]any{"accepted": done})
}

func separate(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("[")) {
		return []json.RawMessage{body}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, &problem{Status: http.StatusBadRequest, Detail: "The body is not valid JSON: " + err.Error() + "."}
	}
	if len(list) == 0 || len(list) > maxEvents {
		return nil, &problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("The array has %d events: want 1 to %d.", len(list), maxEvents)}
	}
	return list, nil
}

// entries checks events as the recommender will, so that what is accepted is also answered.
func (a *api) entries(payloads []json.RawMessage) ([]types.PutRecordsRequestEntry, error) {
	type invalid struct {
		Index  int    `json:"index"`
		Reason string `json:"reason"`
	}
	var entries []types.PutRecordsRequestEntry
	var wrong []invalid
	for n, payload := range payloads {
		e, err := event.Parse(payload, a.names)
		var line []byte
		if err == nil {
			line, err = event.Compact(payload)
		}
		if err != nil {
			wrong = append(wrong, invalid{n, err.Error()})
			continue
		}
		entries = append(entries, types.PutRecordsRequestEntry{Data: line, PartitionKey: aws.String(a.partitionKey(e))})
	}
	if wrong != nil {
		return nil, &problem{Status: http.StatusUnprocessableEntity,
			Detail: fmt.Sprintf("%d of %d events cannot be processed; none was accepted. The first: %s.", len(wrong), len(payloads), wrong[0].Reason),
			More:   map[string]any{"errors": wrong}}
	}
	return entries, nil
}

// partitionKey keeps a user's events in order, on one shard; without a user those of a session; else it spreads them.
func (a *api) partitionKey(e event.Event) string {
	switch {
	case e.User != "":
		return e.User
	case e.Session != "":
		return e.Session
	}
	return fmt.Sprintf("%x", uint64(a.random()*(1<<53)))
}

// put writes entries, and again those that a busy shard refused. Some accepted and some not is said as such: the caller
// sends the rest.
func (a *api) put(ctx context.Context, entries []types.PutRecordsRequestEntry) ([]accepted, error) {
	done := make([]*accepted, len(entries))
	waiting := make([]int, len(entries)) // positions not yet accepted
	for n := range waiting {
		waiting[n] = n
	}
	for attempt := 1; len(waiting) > 0 && attempt <= putAttempts; attempt++ {
		if attempt > 1 && a.wait(ctx, time.Duration(float64(attempt)*a.random()*float64(putPause))) != nil {
			break
		}
		in := &kinesis.PutRecordsInput{StreamName: &a.streamName}
		for _, n := range waiting {
			in.Records = append(in.Records, entries[n])
		}
		out, err := a.stream.PutRecords(ctx, in)
		if err != nil {
			slog.ErrorContext(ctx, "events not put", "stream", a.streamName, "events", len(waiting), "error", err)
			if len(waiting) == len(entries) {
				return nil, &problem{Status: http.StatusServiceUnavailable, Detail: "The stream did not answer. Send the events again: those that it took all the same count twice."}
			}
			break
		}
		var refused []int
		for k, n := range waiting {
			if answer := out.Records[k]; answer.ErrorCode != nil {
				refused = append(refused, n)
			} else {
				shard, sequence := aws.ToString(answer.ShardId), aws.ToString(answer.SequenceNumber)
				done[n] = &accepted{shard + ":" + sequence, shard, sequence}
			}
		}
		waiting = refused
	}
	if len(waiting) > 0 {
		return nil, &problem{Status: http.StatusServiceUnavailable,
			Detail: fmt.Sprintf("The stream is busy: %d of %d events were not accepted. Send those again.", len(waiting), len(entries)),
			More:   map[string]any{"accepted": done, "not_accepted": waiting}}
	}
	all := make([]accepted, len(done))
	for n, d := range done {
		all[n] = *d
	}
	return all, nil
}
