package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/vectorstore"
)

// recommender answers batches of shop events.
type recommender struct {
	names      dataset.Event
	models     modelSource
	activity   activityStore
	records    recordSink
	quarantine objectStore
	metrics    *metrics.Emitter
	now        func() time.Time
}

// modelSource knows which models serve.
type modelSource interface {
	Serving(context.Context) (*activemodel.Serving, error)
	LastServing() *activemodel.Serving // without asking the database; nil if there was none
}

// activityStore remembers what users did, each event at most once.
type activityStore interface {
	RecordActivity(context.Context, []vectorstore.Activity) error
}

// recordSink delivers lines and tells the positions of those it could not.
type recordSink interface {
	Write(context.Context, [][]byte) (failed []int, err error)
}

// objectStore keeps rejected events.
type objectStore interface {
	Put(ctx context.Context, key string, r io.Reader) error
}

// deliveryTime is kept back from answering: what is answered must also be recorded and delivered, which takes some pauses when Firehose is
// throttled. Of very little time it is half.
const deliveryTime = 5 * time.Second

var errNoTime = errors.New("the function's time is nearly over: the rest of the batch is for the next invocation (raise the timeout or lower the batch size)")

// Handle answers a batch. It returns the first record that has to be tried again; Lambda then repeats the batch from there.
// What can never be processed is put into quarantine and counts as processed. It returns an error only if that first record
// is the batch's first: then there is nothing before it to be repeated for nothing, and the outage shows in the function's errors.
func (r *recommender) Handle(ctx context.Context, batch events.KinesisEvent) (events.KinesisEventResponse, error) {
	ctx, cancel := run.WithRespite(ctx)
	defer cancel()
	if len(batch.Records) == 0 || batch.Records[0].EventSource != "aws:kinesis" {
		return events.KinesisEventResponse{}, errors.New("the event is no batch of Kinesis records (events/recommender-batch.json shows one)")
	}
	retry, err := r.process(ctx, batch.Records)
	if err != nil {
		slog.ErrorContext(ctx, "batch not finished: Lambda tries again from the first record that failed",
			"error", err, "records", len(batch.Records), "from", retry)
	}
	var response events.KinesisEventResponse
	if retry == 0 && err != nil {
		return response, err
	}
	if retry < len(batch.Records) {
		response.BatchItemFailures = []events.KinesisBatchItemFailure{{ItemIdentifier: batch.Records[retry].Kinesis.SequenceNumber}}
	}
	return response, nil
}

// process returns the position of the first record to try again, len(records) if there is none, and why.
func (r *recommender) process(ctx context.Context, records []events.KinesisEventRecord) (retry int, err error) {
	valid, rejected := r.read(records)
	retry, err = r.putAllAside(ctx, rejected, len(records))
	// What comes after a record that is tried again comes again with it; what comes before it does not.
	valid = slices.DeleteFunc(valid, func(v shopEvent) bool { return v.record >= retry })
	if len(valid) == 0 {
		return retry, err
	}
	failed, answerErr := r.answer(ctx, valid)
	if answerErr != nil && vectorstore.Unreachable(answerErr) {
		failed, answerErr = r.lastResort(ctx, valid, answerErr)
	}
	if len(failed) > 0 {
		retry = valid[failed[0]].record
	}
	return retry, errors.Join(err, answerErr)
}

// answer writes a record for each event and returns the positions of the events without one, ascending, and why.
func (r *recommender) answer(ctx context.Context, valid []shopEvent) (failed []int, err error) {
	none := []int{0} // a failure before the first delivery concerns all of them
	serving, err := r.models.Serving(ctx)
	if err != nil {
		return none, err
	}
	assigned := serving.Assign(answerable(valid))
	if err := activemodel.FindUsers(ctx, assigned); err != nil {
		return none, err
	}
	lines, strategies := make([][]byte, 0, len(valid)), map[string]int{}
	answered, timeLeft := valid, r.timeLeft(ctx)
	together := serving.Default().AtOnce() // the clock is looked at in between
	for first := 0; first < len(valid); {
		left := timeLeft()
		if left <= 0 {
			answered = valid[:first]
			break
		}
		part := assigned[first:min(first+together, len(valid))]
		records, err := r.recordsWithin(ctx, left, part)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			together = max(1, len(part)/8) // a slow search: fewer events take less of it
			continue
		}
		if err != nil {
			return none, err
		}
		for _, record := range records {
			lines = append(lines, record.Line)
			strategies[record.Strategy]++
		}
		first += len(part)
	}
	if len(answered) == 0 {
		return none, errNoTime
	}
	// Activity first: it is idempotent, so a repetition after a failed delivery changes nothing.
	if err := r.activity.RecordActivity(ctx, activities(answered)); err != nil {
		return none, err
	}
	failed, err = r.records.Write(ctx, lines)
	if len(answered) < len(valid) {
		failed, err = append(failed, len(answered)), errors.Join(err, errNoTime)
	}
	r.count(strategies, len(failed))
	slog.DebugContext(ctx, "batch answered", "model", serving.Default().Version, "events", len(answered), "failed", len(failed))
	return failed, err
}

// recordsWithin answers several events in half of the time that is left, so that there is time for fewer; one event may take all there is.
func (r *recommender) recordsWithin(ctx context.Context, left time.Duration, part []activemodel.Assignment) ([]recommend.Record, error) {
	if len(part) > 1 && left < unlimited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left/2)
		defer cancel()
	}
	return activemodel.Records(ctx, part, r.names.Item, r.now())
}

func answerable(list []shopEvent) []recommend.Event {
	events := make([]recommend.Event, len(list))
	for n, v := range list {
		events[n] = recommend.Event{Event: v.event, ID: v.id}
	}
	return events
}

const unlimited = time.Duration(math.MaxInt64)

// timeLeft returns what says how long events may still be answered: those that are must also be delivered.
func (r *recommender) timeLeft(ctx context.Context) func() time.Duration {
	deadline, limited := ctx.Deadline()
	if !limited {
		return func() time.Duration { return unlimited }
	}
	end := deadline.Add(-min(deliveryTime, deadline.Sub(r.now())/2))
	return func() time.Duration { return end.Sub(r.now()) }
}

func activities(list []shopEvent) []vectorstore.Activity {
	var all []vectorstore.Activity
	for _, v := range list {
		if v.event.User == "" {
			continue
		}
		a := vectorstore.Activity{User: v.event.User, EventID: v.id, Session: v.event.Session, HappenedAt: v.event.HappenedAt(v.arrived)}
		for _, e := range v.event.History {
			a.Items = append(a.Items, vectorstore.Seen{Item: e.Item, Quantity: e.Quantity, InCart: e.InCart})
		}
		all = append(all, a)
	}
	return all
}

func (r *recommender) count(strategies map[string]int, undelivered int) {
	r.metrics.Emit(nil, metrics.Metric{Name: "RecordsNotDelivered", Unit: metrics.Count, Value: float64(undelivered)})
	for _, strategy := range slices.Sorted(maps.Keys(strategies)) {
		r.metrics.Emit(map[string]string{"Strategy": strategy},
			metrics.Metric{Name: "EventsAnswered", Unit: metrics.Count, Value: float64(strategies[strategy])})
	}
}
