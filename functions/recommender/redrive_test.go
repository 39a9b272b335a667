package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/redrive"
)

// redrive sends all of the quarantine to the handler, as JSON, as Lambda does.
func (b bundle) redrive(t *testing.T, name string) []*redrive.Object {
	list, err := redrive.Find(t.Context(), b.lake, redrive.Selection{Prefixes: []string{quarantine.Root}, To: time.Now().AddDate(10, 0, 0)})
	require.NoError(t, err)
	invoke := func(ctx context.Context, batch events.KinesisEvent) (response events.KinesisEventResponse, err error) {
		text, err := json.Marshal(batch)
		require.NoError(t, err)
		var received events.KinesisEvent
		require.NoError(t, json.Unmarshal(text, &received))
		return b.recommender.Handle(ctx, received)
	}
	require.NoError(t, redrive.Send(t.Context(), b.lake, invoke, list, name))
	return list
}

func TestRejectedEventsAreAnsweredOnceTheyAreMended(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-bad-records.json")
	require.Empty(t, b.handle(t, batch))
	b.sink.lines = nil

	for _, o := range b.redrive(t, "one") {
		require.Equal(t, redrive.Again, o.Outcome, "nothing was mended")
	}
	keys, err := b.lake.List(t.Context(), quarantine.Root)
	require.NoError(t, err)
	require.Len(t, keys, 3)
	require.Empty(t, b.sink.lines)

	// One is mended by hand.
	body, _, err := b.lake.Get(t.Context(), keys[2])
	require.NoError(t, err)
	var file quarantine.Event
	require.NoError(t, json.NewDecoder(body).Decode(&file))
	require.NoError(t, body.Close())
	require.Equal(t, "one", file.Redrive)
	mended := strings.Replace(*file.Payload, `"many"`, `"2"`, 1)
	file.Payload = &mended
	text, err := json.Marshal(file)
	require.NoError(t, err)
	require.NoError(t, b.lake.Put(t.Context(), keys[2], strings.NewReader(string(text))))

	var outcomes []string
	for _, o := range b.redrive(t, "two") {
		outcomes = append(outcomes, o.Outcome)
	}
	require.Equal(t, []string{redrive.Again, redrive.Again, redrive.Redriven}, outcomes)
	records := b.sink.records(t)
	require.Len(t, records, 1)
	require.Equal(t, file.EventID, records[0].EventID, "its own, so whoever counts event_id counts it once")
	keys, err = b.lake.List(t.Context(), quarantine.Root)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Len(t, b.redrive(t, "three"), 2, "what was redriven is not found again")
	require.Len(t, b.sink.lines, 1)
}
