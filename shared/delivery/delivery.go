// Package delivery writes lines into a Firehose stream until each of them is accepted.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
)

// Firehose's limits, https://docs.aws.amazon.com/firehose/latest/dev/limits.html
const (
	maxRecord       = 1000 << 10 // bytes before base64
	maxRequest      = 4 << 20    // bytes of all records of a request
	maxRequestCount = 500
)

const (
	// Firehose's quotas are per second: the first four pauses are about one, and none wastes many.
	firstPause = 100 * time.Millisecond
	maxPause   = 3 * time.Second
)

// client is what is used of Firehose.
type client interface {
	PutRecordBatch(context.Context, *firehose.PutRecordBatchInput, ...func(*firehose.Options)) (*firehose.PutRecordBatchOutput, error)
}

var _ client = (*firehose.Client)(nil)

// Stream is a Firehose delivery stream.
type Stream struct {
	client client
	name   string
	wait   func(context.Context, time.Duration) error
	random func() float64
}

// New writes to the named stream. wait is Wait outside of tests; random gives numbers in [0, 1).
func New(c client, name string, wait func(context.Context, time.Duration) error, random func() float64) *Stream {
	return &Stream{c, name, wait, random}
}

// Wait sleeps, or returns the context's error: as soon as it ends, or at once if it would end meanwhile.
func Wait(ctx context.Context, d time.Duration) error {
	if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// packed is a Firehose record: whole lines from..to (exclusive), because every record is billed as a multiple of 5 KB.
type packed struct {
	data     []byte
	from, to int
}

// Write delivers lines, each ending in \n and at most 1,000 KiB long. It returns the positions of the lines that were
// not accepted, ascending, with the reason; they may be written again. Only what failed is sent again, after a
// jittered pause, until the context ends: give it a deadline. After a request that could not be delivered whole nothing more is sent,
// because whoever reads a stream goes on from the first failure and would send what comes after it twice; a longer line holds up no other. A line may arrive twice all the same,
// if an answer was lost.
func (s *Stream) Write(ctx context.Context, lines [][]byte) (failed []int, err error) {
	var reasons []error
	requests := split(lines, &failed, &reasons)
	for n, request := range requests {
		left, err := s.put(ctx, request)
		if len(left) == 0 {
			continue
		}
		reasons = append(reasons, err)
		for _, r := range slices.Concat(append(requests[n+1:], left)...) {
			for n := r.from; n < r.to; n++ {
				failed = append(failed, n)
			}
		}
		break
	}
	if reasons != nil {
		slices.Sort(failed)
		return failed, fmt.Errorf("delivery stream %s: %d of %d lines not delivered: %w", s.name, len(failed), len(lines), errors.Join(reasons...))
	}
	return nil, nil
}

// split packs lines into records and records into requests. Lines that no record can hold are failed at once.
func split(lines [][]byte, failed *[]int, reasons *[]error) (requests [][]packed) {
	var request []packed
	bytes := 0
	for n, line := range lines {
		if len(line) > maxRecord {
			*failed = append(*failed, n)
			*reasons = append(*reasons, fmt.Errorf("line %d has %d bytes, more than the %d of a record", n, len(line), maxRecord))
			continue
		}
		last := len(request) - 1
		fits := last >= 0 && request[last].to == n && len(request[last].data)+len(line) <= maxRecord
		if bytes+len(line) > maxRequest || !fits && len(request) == maxRequestCount {
			requests, request, bytes, fits = append(requests, request), nil, 0, false
		}
		if !fits {
			request = append(request, packed{from: n})
			last = len(request) - 1
		}
		request[last].data, request[last].to = append(request[last].data, line...), n+1
		bytes += len(line)
	}
	if request != nil {
		requests = append(requests, request)
	}
	return requests
}

// put sends one request, then what failed of it, until all is accepted, trying again cannot help or the context ends. It returns what is left with
// the last reason.
func (s *Stream) put(ctx context.Context, records []packed) ([]packed, error) {
	for attempt := 0; ; attempt++ {
		in := &firehose.PutRecordBatchInput{DeliveryStreamName: &s.name}
		for _, r := range records {
			in.Records = append(in.Records, types.Record{Data: r.data})
		}
		out, err := s.client.PutRecordBatch(ctx, in, once)
		switch {
		case err == nil:
			records, err = notAccepted(records, out.RequestResponses)
			if len(records) == 0 {
				return nil, nil
			}
		case retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) != aws.TrueTernary:
			return records, err
		}
		// Full jitter: those that were throttled together do not come back together.
		pause := min(float64(maxPause), float64(firstPause)*math.Exp2(float64(attempt)))
		if timeout := s.wait(ctx, time.Duration(pause*s.random())); timeout != nil {
			return records, errors.Join(err, timeout)
		}
	}
}

// once leaves trying again to put: the SDK's own three attempts would know neither the deadline nor what of a request was accepted.
func once(o *firehose.Options) { o.Retryer = aws.NopRetryer{} }

// notAccepted returns the records that an answer does not call accepted, each by its own entry, and the last reason.
func notAccepted(records []packed, answers []types.PutRecordBatchResponseEntry) (left []packed, reason error) {
	for n, r := range records {
		switch {
		case n >= len(answers) || answers[n].ErrorCode == nil && answers[n].RecordId == nil:
			left, reason = append(left, r), fmt.Errorf("the answer says nothing of record %d of %d", n, len(records))
		case answers[n].ErrorCode != nil:
			left, reason = append(left, r), fmt.Errorf("%s: %s", *answers[n].ErrorCode, aws.ToString(answers[n].ErrorMessage))
		}
	}
	return left, reason
}
