package eventsource

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// attempt is a batch, or what is left of one, with how often it has been tried again.
type attempt struct {
	records []Record
	retries int
}

// process gives a batch to the function until all of it is done or given up.
//
// "To ensure in-order processing, the event source mapping pauses processing for the affected shard until the error is resolved."
func (p *Poller) process(ctx context.Context, shardID string, batch []Record) {
	invocations := 0
	for todo := []attempt{{records: batch}}; len(todo) > 0 && ctx.Err() == nil; {
		now := todo[0]
		todo = todo[1:]
		if now.records = p.young(shardID, now.records, invocations); len(now.records) == 0 {
			continue
		}
		event := Event(shardID, now.records)
		answer, err := p.Function(ctx, event)
		if ctx.Err() != nil {
			return // whatever came of it is not known any more
		}
		if errors.Is(err, ErrNotInvoked) {
			// "If a Lambda event source mapping is unable to invoke the function due to throttling or other issues, it retries until the
			// records expire or exceed the maximum age configured on the event source mapping." No attempt is used up: MaximumRetryAttempts
			// "doesn't apply to service errors or throttles where the batch didn't reach the function".
			p.pause(ctx, now.retries+1)
			todo = slices.Insert(todo, 0, now)
			continue
		}
		invocations++
		done := 0
		if err == nil {
			done = p.processed(answer, now.records)
		}
		p.done.Add(int64(done))
		left := attempt{now.records[done:], now.retries}
		switch n := len(left.records); {
		case n == 0:
			if p.Repeat != nil && p.Repeat() {
				_, _ = p.Function(ctx, event) // the answer changes nothing: the batch is done
			}
		case err != nil && p.Mapping.BisectBatchOnFunctionError && n > 1:
			// "If your invocation fails and BisectBatchOnFunctionError is turned on, the batch is bisected regardless of your
			// ReportBatchItemFailures setting." "Splitting batches doesn't consume the retry quota."
			p.pause(ctx, left.retries+1)
			todo = slices.Insert(todo, 0, attempt{left.records[:n/2], left.retries}, attempt{left.records[n/2:], left.retries})
		case done > 0 && p.Mapping.BisectBatchOnFunctionError:
			// "When a partial batch success response is received and both BisectBatchOnFunctionError and ReportBatchItemFailures are turned
			// on, the batch is bisected at the returned sequence number and Lambda retries only the remaining records." AWS does not say
			// that their retries begin anew: here they do not.
			p.pause(ctx, left.retries+1)
			todo = slices.Insert(todo, 0, left)
		case p.Mapping.MaximumRetryAttempts >= 0 && left.retries >= p.Mapping.MaximumRetryAttempts:
			// "If the error handling measures fail, Lambda discards the records and continues processing batches from the stream."
			p.discard(Discarded{RetryAttemptsExhausted, shardID, left.records, invocations, time.Now()})
		default:
			left.retries++
			p.pause(ctx, left.retries)
			todo = slices.Insert(todo, 0, left)
		}
	}
}

// young gives up what is too old: MaximumRecordAge is "the maximum age of a record that Lambda sends to your function".
func (p *Poller) young(shardID string, records []Record, invocations int) []Record {
	if p.Mapping.MaximumRecordAgeInSeconds < 0 {
		return records
	}
	oldest := time.Now().Add(-time.Duration(p.Mapping.MaximumRecordAgeInSeconds) * time.Second)
	n := slices.IndexFunc(records, func(r Record) bool { return !r.ArrivedAt.Before(oldest) })
	if n < 0 {
		n = len(records)
	}
	if n > 0 {
		p.discard(Discarded{RecordAgeExceeded, shardID, records[:n], invocations, time.Now()})
	}
	return records[n:]
}

func (p *Poller) discard(d Discarded) {
	if p.OnFailure != nil {
		p.OnFailure(d)
	}
	p.done.Add(int64(len(d.Records)))
}

func (p *Poller) pause(ctx context.Context, attempt int) {
	timer := time.NewTimer(p.Pause(attempt))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// processed is how many of the records, from the first, an answer calls done.
//
// "By default Lambda checkpoints to the highest sequence number of a batch only when the batch is a complete success." "Even when your
// function code returns partial batch failure responses, these responses will not be processed by Lambda unless the ReportBatchItemFailures
// feature is explicitly turned on for your event source mapping."
func (p *Poller) processed(answer []byte, records []Record) int {
	if !slices.Contains(p.Mapping.FunctionResponseTypes, reportBatchItemFailures) {
		return len(records)
	}
	var a struct {
		BatchItemFailures []struct {
			ItemIdentifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	// "Lambda treats a batch as a complete success if you return any of the following: An empty batchItemFailure list; a null
	// batchItemFailure list; an empty EventResponse; a null EventResponse."
	if len(answer) == 0 {
		return len(records)
	}
	if json.Unmarshal(answer, &a) != nil {
		return 0 // of no form that is documented: the harsher reading
	}
	first := len(records)
	for _, failure := range a.BatchItemFailures {
		// "Lambda treats a batch as a complete failure if you return any of the following: An empty string itemIdentifier; a null
		// itemIdentifier; an itemIdentifier with a bad key name." One that is not of the batch is taken for that too.
		if failure.ItemIdentifier == nil {
			return 0
		}
		n := slices.IndexFunc(records, func(r Record) bool { return r.SequenceNumber == *failure.ItemIdentifier })
		if n < 0 {
			return 0
		}
		// "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest sequence number as the checkpoint.
		// Lambda then retries all records starting from that checkpoint."
		first = min(first, n)
	}
	return first
}
