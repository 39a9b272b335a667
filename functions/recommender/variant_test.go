package main

import (
	"fmt"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/shoptest"
)

// crowd is a batch of n users, the same two events each.
func crowd(n int) (batch events.KinesisEvent) {
	for k := range 2 * n {
		data := fmt.Sprintf(`{"session_id":"s%d","customer_number":%d,"country":"France","browse_history":[{"product_code":"S10_1678"}]}`, k, k%n)
		if k%n == 0 {
			data = `{"session_id":"nobody","browse_history":[{"product_code":"S10_1678"}]}`
		}
		batch.Records = append(batch.Records, events.KinesisEventRecord{
			EventSource: "aws:kinesis", EventID: fmt.Sprintf("shardId-000000000000:%d", 1000+k),
			Kinesis: events.KinesisRecord{SequenceNumber: fmt.Sprint(1000 + k), Data: []byte(data)},
		})
	}
	return batch
}

func TestAnExperimentGivesEachUserOneOfTwoVersions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const users = 100
	batch := crowd(users)
	require.Empty(t, b.handle(t, batch))
	for _, r := range b.sink.records(t) {
		require.Equal(t, []string{b.version, experiment.Active}, []string{r.ModelVersion, r.Variant})
	}
	next := shoptest.Load(t, b.store, "20261123T020000Z")
	e, err := b.store.StartExperiment(t.Context(), b.version, next, 0.3, "me")
	require.NoError(t, err)

	versions := map[string]string{experiment.Control: b.version, experiment.Treatment: next}
	variants := func() map[string]string {
		b.sink.lines = nil
		require.Empty(t, b.handle(t, batch))
		records := b.sink.records(t)
		require.Len(t, records, 2*users)
		of := map[string]string{}
		for n, r := range records {
			require.Equal(t, batch.Records[n].EventID, r.EventID, "in the order of the batch")
			require.Equal(t, versions[r.Variant], r.ModelVersion)
			user := fmt.Sprint(r.CustomerNumber)
			if of[user] != "" {
				require.Equal(t, of[user], r.Variant, "all events of a user")
			}
			of[user] = r.Variant
			if n%users > 0 {
				require.Equal(t, experiment.Assign(e.N, user, e.Weight), r.Variant)
			} else {
				require.Equal(t, experiment.Assign(e.N, "nobody", e.Weight), r.Variant, "by session: nobody is logged in")
			}
		}
		return of
	}
	before := variants()
	e, err = b.store.WeighExperiment(t.Context(), 0.6, "me")
	require.NoError(t, err)
	moved := 0
	for user, variant := range variants() {
		if before[user] != variant {
			moved++
			require.Equal(t, experiment.Treatment, variant)
		}
	}
	require.Positive(t, moved)

	// A new night beneath changes nothing for the experiment; a rollback ends it.
	shoptest.Load(t, b.store, "20261124T020000Z")
	shoptest.Load(t, b.store, "20261125T020000Z")
	variants()
	_, _, err = b.store.Rollback(t.Context(), "me", "it was better")
	require.NoError(t, err)
	b.sink.lines = nil
	require.Empty(t, b.handle(t, batch))
	for _, r := range b.sink.records(t) {
		require.Equal(t, []string{"20261124T020000Z-0a1b2c3d", experiment.Active}, []string{r.ModelVersion, r.Variant})
	}
}
