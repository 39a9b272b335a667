package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/delivery"
)

// fake enforces Firehose's limits and fails the entries that fail names.
type fake struct {
	t        require.TestingT
	fail     func(request, entry int) bool
	err      error
	requests [][]types.Record
	stored   bytes.Buffer
}

func (f *fake) PutRecordBatch(_ context.Context, in *firehose.PutRecordBatchInput, _ ...func(*firehose.Options)) (*firehose.PutRecordBatchOutput, error) {
	require.Equal(f.t, "answers", *in.DeliveryStreamName)
	require.LessOrEqual(f.t, len(in.Records), 500)
	require.NotEmpty(f.t, in.Records)
	total := 0
	out := &firehose.PutRecordBatchOutput{FailedPutCount: aws.Int32(0)}
	for n, r := range in.Records {
		require.LessOrEqual(f.t, len(r.Data), 1000<<10)
		require.True(f.t, bytes.HasSuffix(r.Data, []byte("\n")), "whole lines")
		total += len(r.Data)
		answer := types.PutRecordBatchResponseEntry{RecordId: aws.String("id")}
		if f.fail != nil && f.fail(len(f.requests), n) {
			answer = types.PutRecordBatchResponseEntry{ErrorCode: aws.String("ServiceUnavailableException"), ErrorMessage: aws.String("slow down")}
			*out.FailedPutCount++
		} else if f.err == nil {
			f.stored.Write(r.Data)
		}
		out.RequestResponses = append(out.RequestResponses, answer)
	}
	require.LessOrEqual(f.t, total, 4<<20)
	f.requests = append(f.requests, in.Records)
	return out, f.err
}

// clock counts pauses; after limit of them, if that is positive, there is no time for another.
type clock struct {
	limit  int
	pauses []time.Duration
}

func (c *clock) wait(_ context.Context, d time.Duration) error {
	if c.limit > 0 && len(c.pauses) == c.limit {
		return context.DeadlineExceeded
	}
	c.pauses = append(c.pauses, d)
	return nil
}

func (f *fake) stream(c *clock) *delivery.Stream {
	return delivery.New(f, "answers", c.wait, func() float64 { return 0.5 })
}

func lines(n, length int) (list [][]byte) {
	for k := range n {
		list = append(list, []byte(fmt.Sprintf("%06d%s\n", k, strings.Repeat("x", max(0, length-7)))))
	}
	return list
}

func TestEveryLineArrivesWithinTheLimitsWhateverItsLength(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list [][]byte
		for _, length := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(400<<10, 1000<<10)), 0, 30).Draw(t, "lengths") {
			list = append(list, append(bytes.Repeat([]byte{'x'}, length-1), '\n'))
		}
		f := &fake{t: t}
		failed, err := f.stream(&clock{}).Write(context.Background(), list)
		require.NoError(t, err)
		require.Empty(t, failed)
		require.True(t, bytes.Equal(bytes.Join(list, nil), f.stored.Bytes()))
	})
}

func TestShortLinesShareARecord(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	_, err := f.stream(&clock{}).Write(context.Background(), lines(100, 1000))
	require.NoError(t, err)
	require.Len(t, f.requests, 1)
	require.Len(t, f.requests[0], 1)
}

func TestOnlyFailedEntriesAreSentAgain(t *testing.T) {
	t.Parallel()
	list := lines(8, 900<<10) // a record each, four to a request
	f, c := &fake{t: t, fail: func(request, entry int) bool { return request == 0 && entry == 1 || request == 1 }}, &clock{}
	failed, err := f.stream(c).Write(context.Background(), list)
	require.NoError(t, err)
	require.Empty(t, failed)
	require.Len(t, f.requests, 4)
	require.Len(t, f.requests[1], 1)
	require.Equal(t, list[1], f.requests[1][0].Data)
	require.Equal(t, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, c.pauses, "longer and longer, with jitter")
}

func TestWhatIsNeverAcceptedIsReportedByPositionWhenTheTimeIsUp(t *testing.T) {
	t.Parallel()
	list := lines(8, 900<<10)
	f, c := &fake{t: t}, &clock{limit: 8}
	f.fail = func(request, entry int) bool { return entry == 0 } // the first record, again and again
	failed, err := f.stream(c).Write(context.Background(), list)
	require.Equal(t, []int{0, 4, 5, 6, 7}, failed, "the reader goes on from 0 and would send the second request twice")
	require.ErrorContains(t, err, "stream answers: 5 of 8 lines not delivered: ServiceUnavailableException: slow down")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Len(t, f.requests, 9)
	require.Equal(t, 1500*time.Millisecond, c.pauses[7], "never longer than the maximum")
}

func TestALineThatNoRecordHoldsDoesNotHoldUpTheRest(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	failed, err := f.stream(&clock{}).Write(context.Background(), [][]byte{[]byte("a\n"), bytes.Repeat([]byte{'x'}, 1000<<10+1), []byte("b\n")})
	require.Equal(t, []int{1}, failed)
	require.ErrorContains(t, err, "line 1 has 1024001 bytes")
	require.Equal(t, "a\nb\n", f.stored.String())
}

func TestACallThatCannotSucceedIsNotRepeated(t *testing.T) {
	t.Parallel()
	f := &fake{t: t, err: &types.ResourceNotFoundException{Message: aws.String("no such stream")}}
	failed, err := f.stream(&clock{}).Write(context.Background(), lines(6, 900<<10))
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, failed)
	require.ErrorContains(t, err, "no such stream")
	require.Len(t, f.requests, 1)
}

func TestWritingStopsWhenTheTimeIsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f := &fake{t: t, fail: func(int, int) bool { return true }}
	failed, err := delivery.New(f, "answers", delivery.Wait, rand.Float64).Write(ctx, lines(2, 10))
	require.Equal(t, []int{0, 1}, failed)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, f.requests, 1)
}

func TestNoPauseOutlastsTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	require.ErrorIs(t, delivery.Wait(ctx, 2*time.Hour), context.DeadlineExceeded)
	require.NoError(t, ctx.Err(), "at once: the hour is left for something else")
	require.NoError(t, delivery.Wait(ctx, time.Nanosecond))
}
