package eventsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/eventsource"
)

func mapping() eventsource.Mapping {
	return eventsource.Mapping{
		BatchSize: 10, ParallelizationFactor: 1, MaximumRetryAttempts: -1, MaximumRecordAgeInSeconds: -1,
		FunctionResponseTypes: []string{"ReportBatchItemFailures"},
	}
}

// function answers with what answer says of the data of a batch and remembers it.
type function struct {
	answer func(data []string) (string, error)

	mu      sync.Mutex
	batches [][]string
	at      []time.Duration // of each invocation, since the first
	start   time.Time
}

func (f *function) invoke(_ context.Context, event []byte) ([]byte, error) {
	var batch events.KinesisEvent
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, err
	}
	var data []string
	for _, r := range batch.Records {
		data = append(data, string(r.Kinesis.Data))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.batches == nil {
		f.start = time.Now()
	}
	f.batches, f.at = append(f.batches, data), append(f.at, time.Since(f.start))
	if f.answer == nil {
		return nil, nil
	}
	answer, err := f.answer(data)
	if answer, isMark := strings.CutPrefix(answer, "from "); isMark {
		var failures []events.KinesisBatchItemFailure
		for _, mark := range strings.Split(answer, ",") {
			r := batch.Records[slices.Index(data, mark)]
			failures = append(failures, events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
		}
		text, err := json.Marshal(events.KinesisEventResponse{BatchItemFailures: failures})
		return text, err
	}
	return []byte(answer), err
}

// poll runs a mapping in time that passes only when all wait, until everything in the stream is done.
func poll(t *testing.T, s *eventsource.Stream, m eventsource.Mapping, f *function) (given []eventsource.Discarded) {
	ctx, cancel := context.WithCancel(t.Context())
	p := eventsource.Poller{
		Stream: s, Mapping: m, Function: f.invoke, Pause: func(int) time.Duration { return time.Second },
		OnFailure: func(d eventsource.Discarded) { given = append(given, d) },
	}
	stopped := make(chan struct{})
	go func() { p.Run(ctx); close(stopped) }()
	for p.Done() < s.Len() {
		time.Sleep(time.Second)
	}
	cancel()
	<-stopped
	return given
}

func put(s *eventsource.Stream, data ...string) {
	for _, d := range data {
		s.Put("one key", []byte(d))
	}
}

func TestAFullBatchDoesNotWaitAndAnotherWaitsForItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, f := mapping(), &function{}
		m.BatchSize, m.MaximumBatchingWindowInSeconds = 2, 40
		s := eventsource.NewStream(1)
		put(s, "a", "b", "c")
		require.Empty(t, poll(t, s, m, f))
		require.Equal(t, [][]string{{"a", "b"}, {"c"}}, f.batches)
		require.Equal(t, []time.Duration{0, 40 * time.Second}, f.at)
	})
}

func TestABatchFitsIntoTheSixMegabytesOfAnInvocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, f := eventsource.NewStream(1), &function{}
		for range 10 {
			put(s, strings.Repeat("x", 1000<<10))
		}
		require.Empty(t, poll(t, s, mapping(), f))
		require.Len(t, f.batches, 3, "four records of 1,000 KiB in base64 are 5.3 MiB")
	})
}

func TestRecordsAreTriedAgainFromTheLowestSequenceNumber(t *testing.T) {
	t.Parallel()
	for _, bisect := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m, s := mapping(), eventsource.NewStream(1)
			m.BisectBatchOnFunctionError = bisect
			put(s, "a", "b", "c", "d")
			f := &function{answer: func(data []string) (string, error) {
				if len(data) == 4 {
					return "from d,b", nil
				}
				return `{"batchItemFailures":[]}`, nil
			}}
			require.Empty(t, poll(t, s, m, f))
			require.Equal(t, [][]string{{"a", "b", "c", "d"}, {"b", "c", "d"}}, f.batches)
		})
	}
}

func TestAnAnswerCountsAsAWholeSuccessOrFailureAsDocumented(t *testing.T) {
	t.Parallel()
	for answer, success := range map[string]bool{
		``: true, `null`: true, `{}`: true, `{"batchItemFailures":[]}`: true, `{"batchItemFailures":null}`: true,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`: false, `{"batchItemFailures":[{"itemIdentifier":null}]}`: false,
		`{"batchItemFailures":[{"id":"1"}]}`: false, `{"batchItemFailures":[{"itemIdentifier":"999"}]}`: false, `[]`: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			m, s := mapping(), eventsource.NewStream(1)
			m.MaximumRetryAttempts = 2
			put(s, "a", "b")
			f := &function{answer: func([]string) (string, error) { return answer, nil }}
			given := poll(t, s, m, f)
			if success {
				require.Empty(t, given, answer)
				require.Len(t, f.batches, 1, answer)
				return
			}
			require.Len(t, given, 1, answer)
			require.Equal(t, eventsource.RetryAttemptsExhausted, given[0].Condition)
			require.Len(t, given[0].Records, 2)
			require.Len(t, f.batches, 3, "one try and two retries")
			m.FunctionResponseTypes = nil
			put(s, "c")
			require.Empty(t, poll(t, s, m, &function{answer: f.answer}), "not asked for, not read")
		})
	}
}

func TestBisectingLeavesThePoisonAloneAndCostsNoRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := mapping(), eventsource.NewStream(1)
		m.BisectBatchOnFunctionError, m.MaximumRetryAttempts = true, 1
		put(s, "a", "b", "c", "poison", "d", "e")
		var done []string
		f := &function{answer: func(data []string) (string, error) {
			if slices.Contains(data, "poison") {
				return "", errors.New("panic")
			}
			done = append(done, data...)
			return "", nil
		}}
		given := poll(t, s, m, f)
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, done)
		require.Len(t, given, 1)
		require.Len(t, given[0].Records, 1)
		require.Equal(t, "poison", string(given[0].Records[0].Data))

		key, body := given[0].Object(uuid.Nil)
		require.Regexp(t, `^aws/lambda/00000000-0000-0000-0000-000000000000/shardId-000000000000/2000/01/01/2000-01-01T00\.00\.\d\d-[0-9a-f-]{36}$`, key)
		var document struct {
			Payload          string
			KinesisBatchInfo struct{ BatchSize int }
		}
		require.NoError(t, json.Unmarshal(body, &document))
		require.Equal(t, 1, document.KinesisBatchInfo.BatchSize)
		var event events.KinesisEvent
		require.NoError(t, json.Unmarshal([]byte(document.Payload), &event))
		require.Equal(t, "poison", string(event.Records[0].Kinesis.Data))
	})
}

func TestThrottlingUsesUpNoRetriesButTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := mapping(), eventsource.NewStream(1)
		m.MaximumRetryAttempts = 0
		put(s, "a")
		f := &function{}
		f.answer = func([]string) (string, error) {
			if len(f.batches) < 50 {
				return "", fmt.Errorf("%w: throttled", eventsource.ErrNotInvoked)
			}
			return "", nil
		}
		require.Empty(t, poll(t, s, m, f))
		require.Len(t, f.batches, 50)

		m.MaximumRecordAgeInSeconds = 60
		put(s, "b")
		f.answer = func([]string) (string, error) { return "", eventsource.ErrNotInvoked }
		given := poll(t, s, m, f) // the first record too is too old for this mapping by now or done at once
		require.Equal(t, eventsource.RecordAgeExceeded, given[len(given)-1].Condition)
		require.Equal(t, "b", string(given[len(given)-1].Records[0].Data))
	})
}

func TestChildShardsWaitForTheirParents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := eventsource.NewStream(2)
		require.Len(t, s.OpenShards(), 2)
		var want []string
		number := func() {
			want = append(want, fmt.Sprintf("%03d", len(want)))
			put(s, want[len(want)-1])
		}
		for range 5 {
			number()
			for _, id := range s.OpenShards() {
				require.NoError(t, s.Split(id))
			}
			number()
			open := s.OpenShards()
			for n := 0; n+1 < len(open); n += 2 {
				require.NoError(t, s.Merge(open[n], open[n+1]))
			}
		}
		require.ErrorContains(t, s.Split("shardId-000000000000"), "not open")
		fails := true
		f := &function{answer: func([]string) (string, error) {
			fails = !fails
			if fails {
				return "", errors.New("again")
			}
			return "", nil
		}}
		require.Empty(t, poll(t, s, mapping(), f))
		require.Equal(t, want, slices.Compact(slices.Concat(f.batches...)), "one key, one order")
	})
}

func TestParallelBatchesOfAShardShareNoKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := mapping(), eventsource.NewStream(1)
		m.ParallelizationFactor, m.BatchSize = 10, 3
		for n := range 200 {
			s.Put(fmt.Sprint(n%20), fmt.Appendf(nil, "%d %03d", n%20, n))
		}
		var mu sync.Mutex
		running, most := map[string]bool{}, 0
		last := map[string]string{}
		ctx, cancel := context.WithCancel(t.Context())
		p := eventsource.Poller{Stream: s, Mapping: m, Pause: func(int) time.Duration { return 0 }, Function: func(_ context.Context, event []byte) ([]byte, error) {
			var batch events.KinesisEvent
			require.NoError(t, json.Unmarshal(event, &batch))
			keys := map[string]bool{}
			mu.Lock()
			for _, r := range batch.Records {
				k := r.Kinesis.PartitionKey
				require.False(t, running[k], "two batches with one key at once")
				keys[k] = true
				require.Less(t, last[k], r.Kinesis.SequenceNumber)
				last[k] = r.Kinesis.SequenceNumber
			}
			for k := range keys {
				running[k] = true
			}
			most = max(most, len(running))
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			for k := range keys {
				delete(running, k)
			}
			return nil, nil
		}}
		go p.Run(ctx)
		for p.Done() < s.Len() {
			time.Sleep(time.Second)
		}
		cancel()
		require.Greater(t, most, 3)
	})
}

func TestWhateverTheFunctionDoesEveryRecordIsDoneInOrderOrGivenUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			m := mapping()
			m.BatchSize = rapid.IntRange(1, 7).Draw(r, "batch size")
			m.MaximumBatchingWindowInSeconds = rapid.IntRange(0, 2).Draw(r, "window")
			m.BisectBatchOnFunctionError = rapid.Bool().Draw(r, "bisect")
			m.MaximumRetryAttempts = rapid.IntRange(-1, 3).Draw(r, "retries")
			s := eventsource.NewStream(rapid.IntRange(1, 3).Draw(r, "shards"))
			for n := range rapid.IntRange(0, 40).Draw(r, "records") {
				s.Put(fmt.Sprint(n%3), fmt.Appendf(nil, "%d %03d", n%3, n))
				if rapid.IntRange(0, 9).Draw(r, "reshard") == 0 {
					require.NoError(t, s.Split(rapid.SampledFrom(s.OpenShards()).Draw(r, "shard")))
				}
			}
			done := map[string]string{} // by key, the last
			count := 0
			f := &function{answer: func(data []string) (string, error) {
				kind := rapid.IntRange(0, 3).Draw(r, "outcome")
				processed := len(data)
				if kind == 1 {
					processed = rapid.IntRange(0, len(data)-1).Draw(r, "first failure")
				}
				switch kind {
				case 2:
					return "", errors.New("function error")
				case 3:
					return "", eventsource.ErrNotInvoked
				}
				for _, d := range data[:processed] {
					require.Less(t, done[d[:1]], d)
					done[d[:1]] = d
					count++
				}
				if processed < len(data) {
					return "from " + data[processed], nil
				}
				return "", nil
			}}
			for _, d := range poll(t, s, m, f) {
				count += len(d.Records)
			}
			require.Equal(t, s.Len(), count)
		})
	})
}

func TestTheMappingIsTheTemplates(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	d, err := eventsource.FromTemplate(text, "RecommenderFunction")
	require.NoError(t, err)
	require.Equal(t, eventsource.Deployed{Timeout: time.Minute, Mapping: eventsource.Mapping{
		BatchSize: 100, MaximumBatchingWindowInSeconds: 1, ParallelizationFactor: 1, BisectBatchOnFunctionError: true,
		FunctionResponseTypes: []string{"ReportBatchItemFailures"}, MaximumRetryAttempts: -1, MaximumRecordAgeInSeconds: 21600,
		StartingPosition: "TRIM_HORIZON",
	}}, d)

	for text, reason := range map[string]string{
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: TRIM_HORIZON, FilterCriteria: {}}}}}}}`:            "FilterCriteria",
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: LATEST}}}}}}`:                                      "not simulated",
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: TRIM_HORIZON, BatchSize: 20000}}}}}}`:              "BatchSize is 20000",
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: TRIM_HORIZON, MaximumRecordAgeInSeconds: 59}}}}}}`: "want -1 or at least 60",
		`Resources: {F: {Properties: {Events: {E: {Type: S3}}}}}`:                                                                                   "no function F with a Kinesis event",
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: TRIM_HORIZON, BatchSize: [1]}}}}}}`:                "event E of F",
		`Resources: {F: {Properties: {Events: {E: {Type: Kinesis, Properties: {StartingPosition: TRIM_HORIZON, ParallelizationFactor: 11`:           "template",
	} {
		_, err := eventsource.FromTemplate([]byte(text), "F")
		require.ErrorContains(t, err, reason)
	}
}
