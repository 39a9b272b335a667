package redrive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var everything = redrive.Selection{Prefixes: []string{quarantine.Root, redrive.GivenUp}, To: noon.AddDate(1, 0, 0)}

// function answers as the recommender does: it puts payloads that begin with "bad" into the quarantine, and fails from failFrom on.
type function struct {
	store    lake.Store
	batches  []events.KinesisEvent
	failFrom string
	down     error
}

func (f *function) invoke(ctx context.Context, batch events.KinesisEvent) (response events.KinesisEventResponse, err error) {
	f.batches = append(f.batches, batch)
	if f.down != nil {
		return response, f.down
	}
	for _, r := range batch.Records {
		if f.failFrom != "" && r.Kinesis.SequenceNumber == f.failFrom {
			response.BatchItemFailures = []events.KinesisBatchItemFailure{{ItemIdentifier: f.failFrom}}
			return response, nil
		}
		if _, name, _ := strings.Cut(r.EventName, redrive.EventName); strings.HasPrefix(string(r.Kinesis.Data), "bad") {
			e := quarantine.New(r.EventID, "still bad", r.Kinesis.ApproximateArrivalTimestamp.Time, r.Kinesis.PartitionKey, name, r.Kinesis.Data)
			if err := put(ctx, f.store, e); err != nil {
				return response, err
			}
		}
	}
	return response, nil
}

func put(ctx context.Context, store lake.Store, e quarantine.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return store.Put(ctx, e.Key(), strings.NewReader(string(body)))
}

type bundle struct {
	store *lake.Directory
	to    *function
}

// setup has events in quarantine, one a minute from noon on.
func setup(t *testing.T, payloads ...string) bundle {
	store := lake.NewDirectory(t.TempDir())
	for n, p := range payloads {
		e := quarantine.New(fmt.Sprintf("shardId-000000000000:%d", 100+n), "bad then", noon.Add(time.Duration(n)*time.Minute), "103", "", []byte(p))
		require.NoError(t, put(t.Context(), store, e))
	}
	return bundle{store, &function{store: store}}
}

// run redrives and counts the outcomes.
func (b bundle) run(t *testing.T, s redrive.Selection, name string) (map[string]int, error) {
	t.Helper()
	list, err := redrive.Find(t.Context(), b.store, s)
	require.NoError(t, err)
	err = redrive.Send(t.Context(), b.store, b.to.invoke, list, name)
	counts := map[string]int{}
	for _, o := range list {
		counts[o.Outcome]++
	}
	return counts, err
}

func (b bundle) keys(t *testing.T, prefix string) []string {
	t.Helper()
	keys, err := b.store.List(t.Context(), prefix)
	require.NoError(t, err)
	return keys
}

func TestEventsAreSentAgainUnderTheirOwnIDsAndMoved(t *testing.T) {
	t.Parallel()
	b := setup(t, `{"a":1}`, "\xff\x00", `{"c":3}`)
	counts, err := b.run(t, everything, "one")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 3}, counts)
	require.Len(t, b.to.batches, 1, "together")
	for n, r := range b.to.batches[0].Records {
		require.Equal(t, fmt.Sprintf("shardId-000000000000:%d", 100+n), r.EventID)
		require.Equal(t, fmt.Sprint(100+n), r.Kinesis.SequenceNumber)
		require.Equal(t, "aws:kinesis", r.EventSource)
		require.Equal(t, "103", r.Kinesis.PartitionKey)
		require.True(t, noon.Add(time.Duration(n)*time.Minute).Equal(r.Kinesis.ApproximateArrivalTimestamp.Time))
		require.Equal(t, []string{`{"a":1}`, "\xff\x00", `{"c":3}`}[n], string(r.Kinesis.Data))
	}
	require.Empty(t, b.keys(t, "quarantine/"))
	require.Len(t, b.keys(t, "redriven/quarantine/recommender/dt=2026-11-22/"), 3)

	counts, err = b.run(t, everything, "two")
	require.NoError(t, err)
	require.Empty(t, counts, "what was redriven is not sent a second time")
	require.Len(t, b.to.batches, 1)
	counts, err = b.run(t, redrive.Selection{Prefixes: []string{redrive.Done}, To: everything.To}, "three")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 3}, counts, "unless it is asked for")
	require.Len(t, b.keys(t, "redriven/"), 3)
}

func TestWhatIsRejectedAgainStaysAndSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, "bad", "good")
	for _, name := range []string{"one", "two"} {
		list, err := redrive.Find(t.Context(), b.store, everything)
		require.NoError(t, err)
		require.NoError(t, redrive.Send(t.Context(), b.store, b.to.invoke, list, name))
		require.Equal(t, redrive.Again, list[0].Outcome, name)
		require.Equal(t, "still bad", list[0].Reason)
		require.Equal(t, []string{"quarantine/recommender/dt=2026-11-22/shardId-000000000000-100.json"}, b.keys(t, "quarantine/"))
	}
	// One that was moved, is asked for and is rejected: it is back in the quarantine.
	b = setup(t, "good")
	_, err := b.run(t, everything, "one")
	require.NoError(t, err)
	list, err := redrive.Find(t.Context(), b.store, redrive.Selection{Prefixes: []string{redrive.Done}, To: everything.To})
	require.NoError(t, err)
	spoiled := func(ctx context.Context, batch events.KinesisEvent) (events.KinesisEventResponse, error) {
		batch.Records[0].Kinesis.Data = []byte("bad")
		return b.to.invoke(ctx, batch)
	}
	require.NoError(t, redrive.Send(t.Context(), b.store, spoiled, list, "two"))
	require.Equal(t, redrive.Again, list[0].Outcome)
	require.Len(t, b.keys(t, "quarantine/"), 1)
}

// full is a store that cannot be written for a while.
type full struct{ lake.Store }

func (full) Put(context.Context, string, io.Reader) error { return errors.New("S3 is down") }

func TestAnInterruptedRedriveLosesNothingAndSendsTheSameAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, "good", "better")
	list, err := redrive.Find(t.Context(), b.store, everything)
	require.NoError(t, err)
	require.ErrorContains(t, redrive.Send(t.Context(), full{b.store}, b.to.invoke, list, "one"), "S3 is down")
	require.Len(t, b.keys(t, "quarantine/"), 2, "answered, not moved")
	counts, err := b.run(t, everything, "two")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 2}, counts)
	require.Len(t, b.to.batches, 2)
	for n := range 2 {
		require.Equal(t, b.to.batches[0].Records[n].EventID, b.to.batches[1].Records[n].EventID)
	}
}

func TestWhatCannotBeAnsweredNowStays(t *testing.T) {
	t.Parallel()
	b := setup(t, "one", "two", "three")
	b.to.failFrom = "101"
	counts, err := b.run(t, everything, "one")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 1, redrive.Failed: 2}, counts)
	require.Len(t, b.keys(t, "quarantine/"), 2)

	b.to.failFrom, b.to.down = "", errors.New("the database is away")
	list, err := redrive.Find(t.Context(), b.store, everything)
	require.NoError(t, err)
	require.ErrorContains(t, redrive.Send(t.Context(), b.store, b.to.invoke, list, "two"), "the database is away")
	require.Equal(t, redrive.Failed, list[0].Outcome)
	require.Len(t, b.keys(t, "quarantine/"), 2)
}

func TestManyEventsAreSentInBatchesOfTheMappingsSize(t *testing.T) {
	t.Parallel()
	var payloads []string
	for n := range 150 {
		payloads = append(payloads, fmt.Sprint("good ", n))
	}
	b := setup(t, append(payloads, strings.Repeat("x", 3<<20), strings.Repeat("y", 3<<20))...)
	counts, err := b.run(t, everything, "one")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 152}, counts)
	var sizes []int
	for _, batch := range b.to.batches {
		sizes = append(sizes, len(batch.Records))
	}
	require.Equal(t, []int{100, 51, 1}, sizes)
}

// givenUp is what Lambda writes, payload as a text (as AWS shows it) or as an object.
func givenUp(t *testing.T, asText bool, at time.Time, payloads ...string) string {
	batch := events.KinesisEvent{}
	for n, p := range payloads {
		batch.Records = append(batch.Records, events.KinesisEventRecord{
			EventSource: "aws:kinesis", EventID: fmt.Sprintf("shardId-000000000001:%d", 200+n), EventName: "aws:kinesis:record",
			Kinesis: events.KinesisRecord{SequenceNumber: fmt.Sprint(200 + n), Data: []byte(p), PartitionKey: "7", ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: noon}},
		})
	}
	var payload any = batch
	if asText {
		text, err := json.Marshal(batch)
		require.NoError(t, err)
		payload = string(text)
	}
	body, err := json.Marshal(map[string]any{
		"requestContext":   map[string]any{"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 101},
		"version":          "1.0",
		"timestamp":        at,
		"KinesisBatchInfo": map[string]any{"shardId": "shardId-000000000001", "startSequenceNumber": "200", "batchSize": len(payloads)},
		"payload":          payload,
	})
	require.NoError(t, err)
	return string(body)
}

func TestBatchesThatWereGivenUpAreSentAgainWhole(t *testing.T) {
	t.Parallel()
	for _, asText := range []bool{true, false} {
		b := setup(t, "good")
		key := "aws/lambda/4a9d/shardId-000000000001/2026-11-22T12.00.00-0c1d"
		require.NoError(t, b.store.Put(t.Context(), key, strings.NewReader(givenUp(t, asText, noon, "first", "bad", "third"))))
		list, err := redrive.Find(t.Context(), b.store, everything)
		require.NoError(t, err)
		require.Equal(t, []int{1, 3}, []int{list[0].Events, list[1].Events})
		require.Equal(t, "RetryAttemptsExhausted", list[1].Reason)
		require.NoError(t, redrive.Send(t.Context(), b.store, b.to.invoke, list, "one"))
		require.Equal(t, redrive.Redriven, list[1].Outcome)
		require.Len(t, b.to.batches, 2, "a batch by itself")
		require.Equal(t, "shardId-000000000001:202", b.to.batches[1].Records[2].EventID)
		require.Equal(t, "third", string(b.to.batches[1].Records[2].Kinesis.Data))
		require.Empty(t, b.keys(t, redrive.GivenUp))
		require.Equal(t, []string{"redriven/" + key}, b.keys(t, "redriven/aws/"))
		require.Len(t, b.keys(t, "quarantine/"), 1, "the one of them that can never be answered")
	}
}

func TestOnlyWhatIsSelectedIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, "noon", "a minute later", "two minutes later")
	require.NoError(t, b.store.Put(t.Context(), "aws/lambda/m/s/x", strings.NewReader(givenUp(t, true, noon.Add(time.Minute), "first"))))
	counts, err := b.run(t, redrive.Selection{Prefixes: everything.Prefixes, From: noon.Add(time.Minute), To: noon.Add(2 * time.Minute)}, "one")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 2}, counts)
	counts, err = b.run(t, redrive.Selection{Prefixes: []string{"quarantine/recommender/dt=2026-11-22/shardId-000000000000-102"}, To: everything.To}, "two")
	require.NoError(t, err)
	require.Equal(t, map[string]int{redrive.Redriven: 1}, counts)
	require.Len(t, b.keys(t, "quarantine/"), 1)
}

func TestWhatCannotBeReadIsNamedAndLeft(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[]", `{"event_id":"shardId-000000000000:1"}`, `{"event_id":"1","payload":"x"}`} {
		b := setup(t)
		require.NoError(t, b.store.Put(t.Context(), quarantine.Root+"dt=2026-11-22/x.json", strings.NewReader(body)))
		counts, err := b.run(t, everything, "one")
		require.NoError(t, err)
		require.Equal(t, map[string]int{redrive.Unread: 1}, counts, body)
	}
	for _, body := range []string{"x", "{}", `{"KinesisBatchInfo":{}}`, `{"KinesisBatchInfo":{},"payload":"x"}`, `{"KinesisBatchInfo":{},"payload":{"Records":[]}}`} {
		b := setup(t)
		require.NoError(t, b.store.Put(t.Context(), redrive.GivenUp+"m/s/x", strings.NewReader(body)))
		counts, err := b.run(t, everything, "one")
		require.NoError(t, err)
		require.Equal(t, map[string]int{redrive.Unread: 1}, counts, body)
	}
}
