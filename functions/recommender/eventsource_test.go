package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/eventsource"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/shoptest"
)

// unsteady is a sink that refuses lines at random.
type unsteady struct {
	sink
	random *rand.Rand
}

func (u *unsteady) Write(ctx context.Context, lines [][]byte) ([]int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var failed []int
	for n, line := range lines {
		if u.random.IntN(30) == 0 {
			failed = append(failed, n)
		} else {
			u.lines = append(u.lines, string(line))
		}
	}
	if failed != nil {
		return failed, errors.New("Firehose is slow")
	}
	return nil, nil
}

func TestAStreamThatIsReshardedArrivesWholeThroughTheDeployedMapping(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := setup(t)
	answers := &unsteady{random: rand.New(rand.NewPCG(seed, 1))}
	b.recommender.records = answers
	b.recommender.metrics = metrics.New(io.Discard, time.Now) // shards are answered at once, which no process of Lambda's is asked to
	template, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	deployed, err := eventsource.FromTemplate(template, "RecommenderFunction")
	require.NoError(t, err)

	stream := eventsource.NewStream(2)
	handler := lambda.NewHandler(b.recommender.Handle)
	var mu sync.Mutex
	throttles := rand.New(rand.NewPCG(seed, 2))
	poller := eventsource.Poller{
		Stream: stream, Mapping: deployed.Mapping,
		Pause:     func(int) time.Duration { return time.Millisecond },
		OnFailure: func(d eventsource.Discarded) { t.Errorf("given up: %s, %d records", d.Condition, len(d.Records)) },
		Function: func(ctx context.Context, event []byte) ([]byte, error) {
			mu.Lock()
			throttled := throttles.IntN(4) == 0
			mu.Unlock()
			if throttled {
				return nil, eventsource.ErrNotInvoked
			}
			ctx, cancel := context.WithTimeout(ctx, deployed.Timeout)
			defer cancel()
			return handler.Invoke(ctx, event)
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { poller.Run(ctx); close(stopped) }()

	var want, rejected []string
	for n := range 400 {
		user := fmt.Sprint(random.IntN(40))
		text := fmt.Sprintf(`{"customer_number":%s,"n":%d,"browse_history":[{"product_code":%q}]}`, user, n, shoptest.Products[n%len(shoptest.Products)])
		bad := random.IntN(20) == 0
		if bad {
			text = "{"
		}
		shard, sequence := stream.Put(user, []byte(text))
		if id := shard + ":" + sequence; bad {
			rejected = append(rejected, id)
		} else {
			want = append(want, id)
		}
		if open := stream.OpenShards(); random.IntN(80) == 0 && len(open) > 2 {
			require.NoError(t, stream.Merge(open[0], open[1]))
		} else if random.IntN(80) == 0 && len(open) < 5 {
			require.NoError(t, stream.Split(open[random.IntN(len(open))]))
		}
	}
	require.Eventually(t, func() bool { return poller.Done() == stream.Len() }, time.Minute, 10*time.Millisecond)
	stop()
	<-stopped

	var got []string
	for _, r := range answers.records(t) {
		got = append(got, r.EventID)
	}
	delivered := len(got)
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(t, want, slices.Compact(got), "each event, whatever was delivered twice")
	keys, err := b.lake.List(t.Context(), "quarantine/")
	require.NoError(t, err)
	require.Len(t, keys, len(rejected))
	t.Logf("%d events, %d rejected, %d records delivered, %d of them again, %d shards at the end",
		stream.Len(), len(rejected), delivered, delivered-len(want), len(stream.OpenShards()))
}
