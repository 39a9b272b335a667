package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/eventsource"
	"github.com/millrace/millrace/shared/kernel"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/recommend"
)

const figureDimension = 64

// TestFigures measures the recommender with its servers and writes Markdown tables for bench/RESULTS.md to the file that BENCH_STREAM_TABLES names:
// BENCH_STREAM lists the numbers of items (make bench-stream).
func TestFigures(t *testing.T) {
	asked := os.Getenv("BENCH_STREAM")
	if asked == "" {
		t.Skip("BENCH_STREAM is not set: these are measurements (make bench-stream)")
	}
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", program, ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	bandwidth := memoryBandwidth()

	alone, served, through, cold := figureTables()
	for text := range strings.SplitSeq(asked, ",") {
		var n int
		_, err := fmt.Sscan(text, &n)
		require.NoError(t, err, "BENCH_STREAM")
		t.Log(n, "items, alone")
		r, _ := benchmarkShop(t, n, figureDimension)
		one, _, _ := r.figures(t, n, 1, 1000)
		_, rate, perCPU := r.figures(t, n, 100, max(10, min(200, 20_000_000/n)))
		size := float64(n * figureDimension * 4)
		alone.row("%d | %.0f | %.0f | %.2f | %.2f | %.1f | %.2f", n, rate, perCPU, milliseconds(one, 50), milliseconds(one, 99), size/1e6, size/bandwidth*1000)

		t.Log(n, "items, with PostgreSQL")
		at, store, shop := figureStore(t, n)
		memory, err := activemodel.New(store, shop, math.MaxInt64).Serving(t.Context())
		require.NoError(t, err)
		database, err := activemodel.New(store, shop, 0).Serving(t.Context())
		require.NoError(t, err)
		delivered := emulatedFirehose(t)
		for _, c := range []struct {
			name    string
			serving *activemodel.Serving
			sink    string
			records recordSink
		}{{"memory", memory, "discarded", discarded{}}, {"memory", memory, "emulator", delivered}, {"pgvector, HNSW", database, "discarded", discarded{}}} {
			r := &recommender{
				names: shop.Event, models: fixed{c.serving}, activity: store, records: c.records, quarantine: discarded{},
				metrics: metrics.New(io.Discard, time.Now), now: time.Now,
			}
			one, _, _ := r.figures(t, n, 1, 400)
			many, rate, perCPU := r.figures(t, n, 100, 40)
			served.row("%d | %s | %s | %.0f | %.0f | %.2f | %.2f | %.1f | %.1f | %s", n, c.name, c.sink, rate, perCPU,
				milliseconds(one, 50), milliseconds(one, 99), milliseconds(many, 50), milliseconds(many, 99), recall(t, memory.Default(), c.serving.Default(), n))
			if c.records == delivered {
				sustained, _ := r.throughTheMapping(t, n, 0, 100*max(10, min(200, 20_000_000/n)))
				for _, share := range []float64{.25, .75} {
					offered := min(share*sustained, 750) // a shard takes 1,000 a second
					_, took := r.throughTheMapping(t, n, offered, int(10*offered))
					through.row("%d | %.0f | %.0f | %.0f | %.0f | %.0f", n, sustained, offered, milliseconds(took, 50), milliseconds(took, 99), milliseconds(took, 100))
				}
			}
		}
		starts := coldStarts(t, program, at, n)
		cold.row("%d | %.0f | %.0f | %.0f", n, milliseconds(starts, 0), milliseconds(starts, 50), milliseconds(starts, 100))
	}
	alone.text.WriteString(fmt.Sprintf("\nThe physical limit is one pass over the items: bytes ÷ %.1f GB/s, which one core reads here. A pass answers up to 32 events.\n", bandwidth/1e9))
	text := alone.text.String() + served.text.String() + through.text.String() + cold.text.String()
	if file := os.Getenv("BENCH_STREAM_TABLES"); file != "" {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

// figureTable is one of Markdown.
type figureTable struct{ text strings.Builder }

func newFigureTable(title, conditions, columns string) *figureTable {
	var t figureTable
	fmt.Fprintf(&t.text, "\n### %s\n\n%s\n\n| %s |\n|%s\n", title, conditions, columns, strings.Repeat("---:|", strings.Count(columns, "|")+1))
	return &t
}

func (t *figureTable) row(format string, figures ...any) {
	row := fmt.Sprintf("| "+format+" |\n", figures...)
	t.text.WriteString(row)
	fmt.Print(row) // the measurement takes long
}

func figureTables() (alone, served, through, cold *figureTable) {
	conditions := fmt.Sprintf("d = %d, sessions of one to ten items, half of the users known, all filters on", figureDimension)
	return newFigureTable("The recommender on one core",
			"Sinks in memory: parse, fold-in, five recommendations and five similar items, JSON. GOMAXPROCS=1; "+conditions+", co-occurrences too.",
			"items | events/s, batches of 100 | events/CPU-s | p50 ms, one event | p99 ms, one event | MB of items | ms to read them"),
		newFigureTable("With PostgreSQL",
			"One process with GOMAXPROCS=1, PostgreSQL on the other core; "+conditions+"; batches of 100 unless it says one event. Firehose is the emulator, a program in Python.",
			"items | searched in | Firehose | events/s | events/CPU-s | p50 ms, one event | p99 ms, one event | p50 ms, batch | p99 ms, batch | recall@5 of memory's"),
		newFigureTable("From the stream to Firehose",
			"The same process, PostgreSQL and emulated Firehose behind the template's event source mapping (simulated; one shard, batches of up to 100 or of one second). "+
				"Sustained: a stream that is full from the start, until it is empty. Then events come one by one, at a quarter and at three quarters of that, but never more than "+
				"750 a second, and the time is from the put to Firehose's answer.",
			"items | events/s sustained | events/s offered | p50 ms | p99 ms | longest ms"),
		newFigureTable("Cold start",
			"The program is started, reads its secret (locally), connects to PostgreSQL, reads the model into memory, answers one event and has delivered it. Five starts, all cores.",
			"items | least ms | median ms | most ms")
}

// throughTheMapping puts events into a stream that the deployed mapping reads, so many a second, or all before it begins (0). It returns how many
// were answered a second, and how long each took from put to delivery.
func (r *recommender) throughTheMapping(t *testing.T, items int, perSecond float64, count int) (rate float64, took []time.Duration) {
	template, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	deployed, err := eventsource.FromTemplate(template, "RecommenderFunction")
	require.NoError(t, err)
	stream := eventsource.NewStream(1)
	handler := lambda.NewHandler(r.Handle)
	var mu sync.Mutex
	put := map[string]time.Time{} // by sequence number
	poller := eventsource.Poller{
		Stream: stream, Mapping: deployed.Mapping, Pause: func(int) time.Duration { return time.Second },
		OnFailure: func(d eventsource.Discarded) { t.Errorf("given up: %s", d.Condition) },
		Function: func(ctx context.Context, event []byte) ([]byte, error) {
			answer, err := handler.Invoke(ctx, event)
			if err != nil || !bytes.Contains(answer, []byte(`"batchItemFailures":[]`)) && !bytes.Contains(answer, []byte(`"batchItemFailures":null`)) {
				t.Errorf("not all of a batch were answered: %s, %v", answer, err)
				return answer, err
			}
			var batch events.KinesisEvent
			if err := json.Unmarshal(event, &batch); err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, record := range batch.Records {
				took = append(took, time.Since(put[record.Kinesis.SequenceNumber]))
			}
			return answer, nil
		},
	}
	random := rand.New(rand.NewPCG(4, uint64(count)))
	events := make([][]byte, count)
	for k := range events {
		events[k] = figureEvent(random, items)
	}
	begin := time.Now()
	send := func(k int) {
		mu.Lock()
		defer mu.Unlock()
		_, sequence := stream.Put(fmt.Sprint(k), events[k])
		put[sequence] = time.Now()
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	run := func() { poller.Run(ctx); close(stopped) }
	if perSecond > 0 {
		go run()
		for k := range count {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(k) / perSecond * float64(time.Second)))))
			send(k)
		}
	} else {
		for k := range count {
			send(k)
		}
		begin = time.Now()
		go run()
	}
	require.Eventually(t, func() bool { return poller.Done() == count }, 10*time.Minute, time.Millisecond)
	rate = float64(count) / time.Since(begin).Seconds()
	stop()
	<-stopped
	return rate, took
}

type discarded struct{}

func (discarded) Write(context.Context, [][]byte) ([]int, error) { return nil, nil }
func (discarded) Put(context.Context, string, io.Reader) error   { return nil }

type fixed struct{ serving *activemodel.Serving }

func (f fixed) Serving(context.Context) (*activemodel.Serving, error) { return f.serving, nil }
func (f fixed) LastServing() *activemodel.Serving                     { return f.serving }

func milliseconds(took []time.Duration, percent int) float64 {
	slices.Sort(took)
	return float64(took[min(len(took)-1, len(took)*percent/100)].Microseconds()) / 1000
}

// figures answers batches of fresh events, and says how long each took.
func (r *recommender) figures(t *testing.T, items, size, batches int) (took []time.Duration, rate, perCPU float64) {
	random := rand.New(rand.NewPCG(3, uint64(size)))
	next := 0
	batch := func() (b events.KinesisEvent) {
		for range size {
			next++
			b.Records = append(b.Records, events.KinesisEventRecord{
				EventSource: "aws:kinesis", EventID: fmt.Sprintf("shardId-%012d:4966%d", time.Now().UnixNano()%1e12, next),
				Kinesis: events.KinesisRecord{Data: figureEvent(random, items), ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.Now()}},
			})
		}
		return b
	}
	for range 5 { // what is kept of similar items, statements, connections
		_, err := r.Handle(t.Context(), batch())
		require.NoError(t, err)
	}
	before := cpu()
	var spent time.Duration
	for range batches {
		b := batch()
		from := time.Now()
		response, err := r.Handle(t.Context(), b)
		took = append(took, time.Since(from))
		require.NoError(t, err)
		require.Empty(t, response.BatchItemFailures)
		spent += took[len(took)-1]
	}
	return took, float64(size*batches) / spent.Seconds(), float64(size*batches) / (cpu() - before).Seconds()
}

func figureEvent(random *rand.Rand, items int) []byte {
	var history []string
	for range 1 + random.IntN(10) {
		history = append(history, fmt.Sprintf(`{"product_code":"S%07d","quantity":"%d","in_shopping_cart":%t}`, random.IntN(items), 1+random.IntN(3), random.IntN(4) == 0))
	}
	return fmt.Appendf(nil, `{"session_id":"session-%d","customer_number":%d,"city":"Łódź","country":"Peru","credit_limit":21000.50,"browse_history":[%s]}`,
		random.Int64(), random.IntN(1000), strings.Join(history, ","))
}

func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// recall is the share of memory's recommended items that the other finds.
func recall(t *testing.T, memory, other *activemodel.Model, items int) string {
	random := rand.New(rand.NewPCG(9, 9))
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	found, all := 0, 0
	for n := range 200 {
		r := &recommender{names: shop.Event}
		valid, _ := r.read([]events.KinesisEventRecord{{EventID: fmt.Sprint(n), Kinesis: events.KinesisRecord{Data: figureEvent(random, items)}}})
		requests := recommend.Requests(answerable(valid))
		want, err := memory.Answers(t.Context(), requests)
		require.NoError(t, err)
		got, err := other.Answers(t.Context(), requests)
		require.NoError(t, err)
		for _, i := range want[0].Items {
			all++
			if slices.ContainsFunc(got[0].Items, func(g recommend.Item) bool { return g.ID == i.ID }) {
				found++
			}
		}
	}
	return fmt.Sprintf("%.3f", float64(found)/float64(all))
}

// memoryBandwidth is how many bytes a second one core reads: the best of some passes over 512 MB, by the widest instructions it has.
func memoryBandwidth() float64 {
	const numbers = 64 << 20
	a, b := make([]float32, numbers), make([]float32, numbers)
	for k := range a {
		a[k], b[k] = 1, 1
	}
	set, best := kernel.Fastest(), time.Hour
	sum := float32(0)
	for range 5 {
		start := time.Now()
		for from := 0; from < numbers; from += 1 << 16 {
			sum += set.Dot(a[from:from+1<<16], b[from:from+1<<16])
		}
		best = min(best, time.Since(start))
	}
	if sum == 0 {
		panic("nothing was read")
	}
	return 8 * numbers / best.Seconds()
}
