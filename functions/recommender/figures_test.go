package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/delivery"
	"github.com/millrace/millrace/shared/eventsource"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/kernel"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
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

// figureStore loads n items around a thousand points, and 500 users who bought a hundred each.
func figureStore(t *testing.T, n int) (string, *vectorstore.Store, *dataset.Dataset) {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	at := postgrestest.Database(t)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(at))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	random := rand.New(rand.NewPCG(1, 2))
	centres := make([]float32, 1000*figureDimension)
	for k := range centres {
		centres[k] = float32(random.NormFloat64() * .1)
	}
	vector := func() []float32 {
		v := slices.Clone(centres[random.IntN(1000)*figureDimension:][:figureDimension])
		for k := range v {
			v[k] += float32(random.NormFloat64() * .05)
		}
		return v
	}
	embeddings := make([]float32, 0, n*figureDimension)
	for range n {
		embeddings = append(embeddings, vector()...)
	}
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}},
		slices.Concat(vector(), vector(), vector(), vector()), figureDimension)
	require.NoError(t, err)
	var encoder bytes.Buffer
	require.NoError(t, features.WriteEncoder(&encoder, &features.Encoder{
		Format: features.EncoderFormat, Version: "v", Dimension: figureDimension, Alpha0: .01, Lambda: .01, WeightUnit: 1, Items: n, Users: 500,
		Gramian: als.Gramian(embeddings, figureDimension), MeanUser: vector(), UserSide: &regression, Decay: .6,
	}))
	_, err = store.Load(t.Context(), vectorstore.Model{
		Version: "v", Dataset: "classicmodels", Run: "1", ManifestKey: "k", ManifestSHA256: "s", Dimension: figureDimension, Distance: "inner_product",
		Encoder: encoder.Bytes(), Metrics: []byte(`{}`), ItemCount: int64(n), UserCount: 500,
		Items: func(yield func(vectorstore.Entity, error) bool) {
			for k := range n {
				if !yield(vectorstore.Entity{ID: fmt.Sprintf("S%07d", k), Name: fmt.Sprint("Item ", k), Embedding: embeddings[k*figureDimension:][:figureDimension],
					Bias: float32(k % 97), Features: map[string]string{"quantityInStock": fmt.Sprint(k % 20), "productLine": fmt.Sprint("line ", k%7)}}, nil) {
					return
				}
			}
		},
		Users: func(yield func(vectorstore.Entity, error) bool) {
			ids := make([]string, 500)
			for u := range ids {
				ids[u] = fmt.Sprint(u)
			}
			slices.Sort(ids)
			for u, id := range ids {
				e := vectorstore.Entity{ID: id, Embedding: vector()}
				for k := range 100 {
					e.Bought = append(e.Bought, int32(k*n/100+u%(n/100)))
				}
				if !yield(e, nil) {
					return
				}
			}
		},
	})
	require.NoError(t, err)
	if n < 50_000 { // where the loader would make no index
		postgrestest.Exec(t, at, `set maintenance_work_mem = '512MB'; create index on millrace.item_v1 using hnsw (embedding vector_ip_ops);
			create index on millrace.item_v1 using hnsw (embedding vector_cosine_ops); analyze millrace.item_v1`)
	}
	return at, store, shop
}

// emulatedFirehose makes a delivery stream in the emulator that AWS_ENDPOINT_URL names.
func emulatedFirehose(t *testing.T) recordSink {
	require.NotEmpty(t, os.Getenv("AWS_ENDPOINT_URL"), "make bench-stream sets it")
	cloud, err := awsconfig.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := firehose.NewFromConfig(cloud)
	name := fmt.Sprint("bench-", time.Now().UnixNano())
	_, err = client.CreateDeliveryStream(t.Context(), &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String(name), DeliveryStreamType: types.DeliveryStreamTypeDirectPut,
		ExtendedS3DestinationConfiguration: &types.ExtendedS3DestinationConfiguration{
			BucketARN: aws.String("arn:aws:s3:::bench"), RoleARN: aws.String("arn:aws:iam::000000000000:role/bench"),
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteDeliveryStream(context.Background(), &firehose.DeleteDeliveryStreamInput{DeliveryStreamName: aws.String(name)})
		require.NoError(t, err)
	})
	return delivery.New(client, name, delivery.Wait, rand.Float64)
}

// coldStarts runs the function's program against a runtime of one invocation, and says how long it took from its start to its answer.
func coldStarts(t *testing.T, program, database string, items int) (took []time.Duration) {
	at, err := url.Parse(database)
	require.NoError(t, err)
	password, _ := at.User.Password()
	secret, err := json.Marshal(map[string]string{"host": at.Hostname(), "port": at.Port(), "username": at.User.Username(), "password": password, "dbname": at.Path[1:], "sslmode": "disable"})
	require.NoError(t, err)
	batch, err := json.Marshal(events.KinesisEvent{Records: []events.KinesisEventRecord{{
		EventSource: "aws:kinesis", EventID: "shardId-000000000000:49660",
		Kinesis: events.KinesisRecord{Data: figureEvent(rand.New(rand.NewPCG(1, 1)), items), SequenceNumber: "49660", ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.Now()}},
	}}})
	require.NoError(t, err)
	for range 5 {
		answered := make(chan string, 1)
		asked := false
		mux := http.NewServeMux()
		mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
			if asked {
				<-r.Context().Done()
				return
			}
			asked = true
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			_, _ = w.Write(batch)
		})
		mux.HandleFunc("POST /2018-06-01/runtime/", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			answered <- r.URL.Path + " " + string(body)
			w.WriteHeader(http.StatusAccepted)
		})
		mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetSecretValue") {
				text, _ := json.Marshal(string(secret))
				fmt.Fprintf(w, `{"ARN":"a","Name":"n","SecretString":%s}`, text)
				return
			}
			fmt.Fprint(w, `{"FailedPutCount":0,"RequestResponses":[{"RecordId":"1"}]}`)
		})
		server := httptest.NewServer(mux)
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"), "AWS_ENDPOINT_URL="+server.URL,
			"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024",
			"LAKE_BUCKET=bench", "POSTGRES_SECRET_ARN=arn", "RECOMMENDATION_STREAM_NAME=bench", "LOG_LEVEL=error")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		start := time.Now()
		require.NoError(t, cmd.Start())
		select {
		case answer := <-answered:
			took = append(took, time.Since(start))
			require.Contains(t, answer, "/response ", said.String())
			require.NotContains(t, answer, "itemIdentifier", said.String())
		case <-time.After(time.Minute):
			t.Error("no answer within a minute: " + said.String())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		server.CloseClientConnections()
		server.Close()
	}
	return took
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
