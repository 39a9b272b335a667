package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/quarantine"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// sink keeps lines as Firehose would; fail names the positions it refuses.
type sink struct {
	mu    sync.Mutex
	lines []string
	fail  []int
}

func (s *sink) Write(_ context.Context, lines [][]byte) ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := map[int]bool{}
	for _, n := range s.fail {
		refused[n] = true
	}
	for n, l := range lines {
		if !refused[n] {
			s.lines = append(s.lines, string(l))
		}
	}
	if len(s.fail) > 0 {
		return s.fail, errors.New("Firehose is slow")
	}
	return nil, nil
}

type bundle struct {
	shop        *dataset.Dataset
	recommender *recommender
	sink        *sink
	store       *vectorstore.Store
	lake        *lake.Directory
	emitted     *bytes.Buffer
	version     string
}

func setup(t *testing.T) bundle {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	b := bundle{shop: shop, sink: &sink{}, store: shoptest.Store(t), lake: lake.NewDirectory(t.TempDir()), emitted: &bytes.Buffer{}}
	b.version = shoptest.Load(t, b.store, "20261122T020000Z")
	b.recommender = &recommender{
		names: shop.Event, models: activemodel.New(b.store, b.shop, math.MaxInt64), activity: b.store, records: b.sink, quarantine: b.lake,
		metrics: metrics.New(b.emitted, time.Now), now: func() time.Time { return time.Unix(1795338060, 0) },
	}
	return b
}

func read(t *testing.T, name string) (batch events.KinesisEvent) {
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &batch))
	return batch
}

// handle runs a batch and returns the sequence number to go on from, "" if all is done.
func (b bundle) handle(t *testing.T, batch events.KinesisEvent) string {
	return b.handleIn(t.Context(), t, batch)
}

func (b bundle) handleIn(ctx context.Context, t *testing.T, batch events.KinesisEvent) string {
	response, err := b.recommender.Handle(ctx, batch)
	if err != nil { // the whole batch comes again: right only if nothing before the failure is done
		require.Empty(t, response.BatchItemFailures)
		return batch.Records[0].Kinesis.SequenceNumber
	}
	if len(response.BatchItemFailures) == 0 {
		return ""
	}
	require.Len(t, response.BatchItemFailures, 1)
	require.NotEqual(t, batch.Records[0].Kinesis.SequenceNumber, response.BatchItemFailures[0].ItemIdentifier, "an outage shows in the function's errors")
	return response.BatchItemFailures[0].ItemIdentifier
}

type record struct {
	CustomerNumber   any              `json:"customer_number"`
	City             string           `json:"city"`
	Campaign         map[string]any   `json:"campaign"`
	BrowseHistory    []map[string]any `json:"browse_history"`
	RecommendedItems []struct {
		ID      string
		Score   float64
		Because string
	} `json:"recommended_items"`
	SimilarItems struct {
		ProductCode  string `json:"product_code"`
		SimilarItems []struct {
			ID       string
			Distance float64
		} `json:"similar_items"`
	} `json:"similar_items"`
	EventID          string `json:"event_id"`
	RecommendationID string `json:"recommendation_id"`
	ModelVersion     string `json:"model_version"`
	Variant          string `json:"variant"`
	Strategy         string `json:"strategy"`
	GeneratedAt      string `json:"generated_at"`
}

func (s *sink) records(t *testing.T) (list []record) {
	for _, line := range s.lines {
		require.True(t, strings.HasSuffix(line, "}\n"))
		var r record
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		list = append(list, r)
	}
	return list
}

func TestEveryEventIsAnsweredWithFiveAndFive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-batch.json")
	require.Empty(t, b.handle(t, batch))
	list := b.sink.records(t)
	require.Len(t, list, len(batch.Records))
	for n, r := range list {
		require.Len(t, r.RecommendedItems, 5)
		require.Len(t, r.SimilarItems.SimilarItems, 5)
		require.Equal(t, b.version, r.ModelVersion)
		require.Equal(t, batch.Records[n].EventID, r.EventID)
		require.Len(t, r.RecommendationID, 32)
		require.Equal(t, "2026-11-22T09:01:00Z", r.GeneratedAt)
		for k := 1; k < 5; k++ {
			require.GreaterOrEqual(t, r.RecommendedItems[k-1].Score, r.RecommendedItems[k].Score)
			require.LessOrEqual(t, r.SimilarItems.SimilarItems[k-1].Distance, r.SimilarItems.SimilarItems[k].Distance)
		}
	}
	require.Equal(t, []string{recommend.KnownUser, recommend.UserFeatures, recommend.UserFeatures, recommend.Session, recommend.KnownUser},
		[]string{list[0].Strategy, list[1].Strategy, list[2].Strategy, list[3].Strategy, list[4].Strategy})
	require.Equal(t, "S10_1678", list[0].SimilarItems.ProductCode, "in the cart, twice")
	require.Equal(t, "3", list[1].BrowseHistory[0]["quantity"], "as it was sent")
	require.Equal(t, "Łódź", list[2].City)
	require.Equal(t, "Zażółć", list[2].Campaign["name"], "unknown fields are kept")
	require.Empty(t, list[4].RecommendedItems[0].Because, "nothing of that session is known")
	require.Contains(t, b.emitted.String(), `"EventsAnswered":2`)
}

func TestBadRecordsAreQuarantinedAndTheRestIsServed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-bad-records.json")
	require.Empty(t, b.handle(t, batch))
	require.Len(t, b.sink.records(t), 2)
	keys, err := b.lake.List(t.Context(), "quarantine/")
	require.NoError(t, err)
	require.Len(t, keys, 3)
	var reasons []string
	for n, key := range keys {
		id := batch.Records[n+1].EventID
		require.Equal(t, "quarantine/recommender/dt=2026-11-22/"+strings.ReplaceAll(id, ":", "-")+".json", key)
		body, _, err := b.lake.Get(t.Context(), key)
		require.NoError(t, err)
		var file struct {
			EventID       string `json:"event_id"`
			Reason        string
			Payload       string
			PayloadBase64 []byte `json:"payload_base64"`
		}
		require.NoError(t, json.NewDecoder(body).Decode(&file))
		require.NoError(t, body.Close())
		require.Equal(t, id, file.EventID)
		require.Equal(t, string(batch.Records[n+1].Kinesis.Data), file.Payload+string(file.PayloadBase64), "whole, to be sent again")
		reasons = append(reasons, file.Reason)
	}
	require.Contains(t, reasons[0], "not valid JSON")
	require.Contains(t, reasons[1], "UTF-8")
	require.Contains(t, reasons[2], `quantity" is "many"`)
	require.Contains(t, b.emitted.String(), `"EventsQuarantined":3`)

	require.Empty(t, b.handle(t, batch), "delivered again")
	again, err := b.lake.List(t.Context(), "quarantine/")
	require.NoError(t, err)
	require.Equal(t, keys, again)
}

func TestAggregatedRecordsAreTakenApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-aggregated.json")
	require.Empty(t, b.handle(t, batch))
	list := b.sink.records(t)
	require.Len(t, list, 2)
	require.Equal(t, []string{batch.Records[0].EventID + ":0", batch.Records[0].EventID + ":2"}, []string{list[0].EventID, list[1].EventID})
	keys, err := b.lake.List(t.Context(), "quarantine/")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.True(t, strings.HasSuffix(keys[0], "-1.json"))

	batch.Records[0].Kinesis.Data[9] ^= 1
	require.Empty(t, b.handle(t, batch))
	keys, err = b.lake.List(t.Context(), "quarantine/")
	require.NoError(t, err)
	require.Len(t, keys, 2, "damaged: aside as a whole")
}

func TestSecondDeliveryHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-batch.json")
	require.Empty(t, b.handle(t, batch))
	first := b.sink.lines
	b.sink.lines = nil
	require.Empty(t, b.handle(t, batch))
	require.Equal(t, first, b.sink.lines, "the same answers under the same ids")
	latest, err := b.store.Recent(t.Context(), shoptest.Trained, time.Time{}, 20)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Seen{Item: "NOT_IN_THE_SHOP", Quantity: 1}, latest[len(latest)-1].Seen)
}

func TestTheFirstUndeliveredRecordIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-bad-records.json")
	b.sink.fail = []int{1} // the second answer is that of the fifth record
	require.Equal(t, batch.Records[4].Kinesis.SequenceNumber, b.handle(t, batch))
	require.Len(t, b.sink.records(t), 1)
}

// broken is a lake that cannot be written.
type broken struct{}

func (broken) Put(context.Context, string, io.Reader) error { return errors.New("S3 is down") }

func TestWithoutQuarantineTheBadRecordIsTriedAgainAndEarlierOnesAreServed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.recommender.quarantine = broken{}
	batch := read(t, "recommender-bad-records.json")
	require.Equal(t, batch.Records[1].Kinesis.SequenceNumber, b.handle(t, batch))
	require.Len(t, b.sink.records(t), 1)
}

func TestOutageReturnsTheWholeBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	down, err := vectorstore.Open(t.Context(), vectorstore.URL("postgres://shop@127.0.0.1:1/shop"))
	require.NoError(t, err)
	t.Cleanup(down.Close)
	b.recommender.models = activemodel.New(down, b.shop, math.MaxInt64)
	batch := read(t, "recommender-batch.json")
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch))
	require.Empty(t, b.sink.lines)

	b.recommender.models = activemodel.New(shoptest.Store(t), b.shop, math.MaxInt64) // nothing loaded yet
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch))

	b.recommender.models = activemodel.New(b.store, b.shop, math.MaxInt64)
	b.recommender.activity = down
	require.Equal(t, batch.Records[0].Kinesis.SequenceNumber, b.handle(t, batch), "lost before any answer left")
	require.Empty(t, b.sink.lines)
}

func TestAnEventThatIsNoBatchIsAnErrorNotASuccess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, foreign := range []events.KinesisEvent{{}, {Records: []events.KinesisEventRecord{{EventSource: "aws:s3"}}}} {
		_, err := b.recommender.Handle(t.Context(), foreign)
		require.ErrorContains(t, err, "no batch of Kinesis records")
	}
}

func TestABatchIsAnsweredByOneVersionAndTheNextFollowsThePointer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := read(t, "recommender-batch.json")
	require.Empty(t, b.handle(t, batch))
	next := shoptest.Load(t, b.store, "20261123T020000Z")
	require.Empty(t, b.handle(t, batch))
	_, _, err := b.store.Rollback(t.Context(), "me", "it was better")
	require.NoError(t, err)
	require.Empty(t, b.handle(t, batch))
	for n, r := range b.sink.records(t) {
		want := b.version
		if n/len(batch.Records) == 1 {
			want = next
		}
		require.Equal(t, want, r.ModelVersion)
	}
}

func TestTooLittleTimeLeftReturnsTheBatchInsteadOfBeingKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // less than is kept back
	defer cancel()
	batch := read(t, "recommender-batch.json")
	_, err := b.recommender.Handle(ctx, batch)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// long is a batch of n events that takes several passes over the items.
func long(t *testing.T, n int) (batch events.KinesisEvent) {
	some := read(t, "recommender-batch.json").Records
	for k := range n {
		record := some[k%len(some)]
		record.Kinesis.SequenceNumber = fmt.Sprint(1000 + k)
		record.EventID = "shardId-000000000000:" + record.Kinesis.SequenceNumber
		batch.Records = append(batch.Records, record)
	}
	return batch
}

func TestWhatIsAnsweredInTimeIsDeliveredAndTheRestIsForTheNextInvocation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	clock := time.Now()
	b.recommender.now = func() time.Time { // each look at this clock takes eight seconds
		clock = clock.Add(8 * time.Second)
		return clock
	}
	ctx, cancel := context.WithDeadline(t.Context(), clock.Add(35*time.Second))
	defer cancel()
	batch := long(t, 4*32)
	response, err := b.recommender.Handle(ctx, batch)
	require.NoError(t, err)
	answered := len(b.sink.lines)
	require.Positive(t, answered)
	require.Less(t, answered, len(batch.Records))
	require.Equal(t, []events.KinesisBatchItemFailure{{ItemIdentifier: batch.Records[answered].Kinesis.SequenceNumber}}, response.BatchItemFailures)

	batch.Records = batch.Records[answered:]
	b.recommender.now = time.Now
	require.Empty(t, b.handle(t, batch))
	require.Len(t, b.sink.lines, answered+len(batch.Records))
}

func TestASlowDatabaseIsAskedForFewerEventsAtATime(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(database))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	b := setup(t)
	b.version = shoptest.Load(t, store, "20261122T020000Z")
	postgrestest.Exec(t, database, `alter table millrace.item_v1 rename to fast;
		create view millrace.item_v1 as select f.* from millrace.fast f cross join (select pg_sleep(0.02)) slow`)
	b.recommender.models, b.recommender.activity = activemodel.New(store, b.shop, 0), store // nothing is kept in memory
	b.recommender.now = time.Now
	batch := long(t, 100)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // all of it would take four
		response, err := b.recommender.Handle(ctx, batch)
		cancel()
		require.NoError(t, err)
		require.Len(t, response.BatchItemFailures, 1)
		first := slices.IndexFunc(batch.Records, func(r events.KinesisEventRecord) bool {
			return r.Kinesis.SequenceNumber == response.BatchItemFailures[0].ItemIdentifier
		})
		require.Positive(t, first, "something is answered each time")
		batch.Records = batch.Records[first:]
	}
	postgrestest.Exec(t, database, `drop view millrace.item_v1; alter table millrace.fast rename to item_v1`)
	require.Empty(t, b.handle(t, batch))
	require.Len(t, b.sink.records(t), 100)
}

// slow takes its time for each object, as S3 does.
type slow struct{ objectStore }

func (s slow) Put(ctx context.Context, key string, r io.Reader) error {
	time.Sleep(20 * time.Millisecond)
	return errors.Join(ctx.Err(), s.objectStore.Put(ctx, key, r))
}

func TestABatchOfNothingButBadEventsIsPutAsideWithinAnInvocation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.recommender.quarantine = slow{b.lake}
	batch := long(t, 1000) // one aggregated record may have more
	for n := range batch.Records {
		batch.Records[n].Kinesis.Data = fmt.Appendf(nil, `{"bad":%d}`, n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // one after the other takes twenty seconds
	defer cancel()
	response, err := b.recommender.Handle(ctx, batch)
	require.NoError(t, err)
	require.Empty(t, response.BatchItemFailures)
	keys, err := b.lake.List(t.Context(), quarantine.Root)
	require.NoError(t, err)
	require.Len(t, keys, 1000)
	require.Contains(t, b.emitted.String(), `"EventsQuarantined":1000`)
}

func TestAModelThatBecomesActiveWithinABatchWaitsForTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := long(t, 4*32)
	var next string
	asked := 0
	b.recommender.now = func() time.Time {
		if asked++; asked == 3 {
			next = shoptest.Load(t, b.store, "20261123T020000Z")
		}
		return time.Unix(1795338060, 0)
	}
	require.Empty(t, b.handle(t, batch))
	require.NotEmpty(t, next, "loaded between two parts of the batch")
	for _, r := range b.sink.records(t) {
		require.Equal(t, b.version, r.ModelVersion)
	}
	b.sink.lines = nil
	require.Empty(t, b.handle(t, batch))
	for _, r := range b.sink.records(t) {
		require.Equal(t, next, r.ModelVersion)
	}
}

func TestRecommenderLinksNeitherMySQLNorParquet(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, forbidden := range []string{"mysql", "parquet", "thrift", "/avro", "gonum"} {
		require.NotContains(t, string(out), forbidden)
	}
}
