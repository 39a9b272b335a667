package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/awsfake"
	"github.com/millrace/millrace/local/chaos"
	"github.com/millrace/millrace/local/lambdaruntime"
	"github.com/millrace/millrace/shared/eventsource"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// bootstrap builds the recommender as it is deployed.
func bootstrap(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", path, ".")
	build.Dir, build.Env = "../../functions/recommender", append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// system is the streaming half: the recommender's own processes between an event source mapping, PostgreSQL, and what speaks as S3 and Firehose do.
type system struct {
	stream   *eventsource.Stream
	poller   *eventsource.Poller
	function *lambdaruntime.Function
	firehose *awsfake.Firehose
	bucket   *awsfake.Bucket
	// The network between the function and the three.
	network  map[string]*toxiproxy.Proxy
	database string // without the network
	store    *vectorstore.Store
	log      *log
	stop     func() // ends the mapping and the function

	mu          sync.Mutex
	sent        []chaos.Sent
	activations []chaos.Activation
	invocations map[string]time.Time
	givenUp     int
	models      int
}

// log keeps the end of what the processes say, to be shown if a test fails.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() > 4<<20 {
		l.text.Next(2 << 20)
	}
	return l.text.Write(p)
}

func (l *log) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.Bytes()
	return string(text[max(0, len(text)-n):])
}

// timeout is the function's, instead of the template's minute: two seconds are kept back from it, so two are left for trying again, and the
// faults of a short run outlast it.
const timeout = 4 * time.Second

// start runs the deployed mapping and function, with so many processes at most, on a database with one model.
func start(t *testing.T, path string, seed uint64, processes int) *system {
	template, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	deployed, err := eventsource.FromTemplate(template, "RecommenderFunction")
	require.NoError(t, err)
	deployed.Mapping.MaximumBatchingWindowInSeconds = 0 // a batch a second would meet few faults
	s := &system{
		stream: eventsource.NewStream(2), firehose: awsfake.NewFirehose(seed), bucket: awsfake.NewBucket(seed + 1),
		database: postgrestest.Database(t), log: &log{}, invocations: map[string]time.Time{}, network: map[string]*toxiproxy.Proxy{},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of the function's log:\n" + s.log.tail(8<<10))
		}
	})
	s.store, err = vectorstore.Open(t.Context(), vectorstore.URL(s.database))
	require.NoError(t, err)
	t.Cleanup(s.store.Close)
	require.NoError(t, s.store.Migrate(t.Context()))
	s.swap(t)

	at, err := url.Parse(s.database)
	require.NoError(t, err)
	firehose, bucket := httptest.NewServer(s.firehose), httptest.NewServer(s.bucket)
	t.Cleanup(firehose.Close)
	t.Cleanup(bucket.Close)
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(io.Discard))
	for name, upstream := range map[string]string{"PostgreSQL": at.Host, "Firehose": firehose.Listener.Addr().String(), "S3": bucket.Listener.Addr().String()} {
		s.network[name] = toxiproxy.NewProxy(proxies, name, "127.0.0.1:0", upstream)
		require.NoError(t, s.network[name].Start())
		t.Cleanup(s.network[name].Stop)
	}
	host, port, err := net.SplitHostPort(s.network["PostgreSQL"].Listen)
	require.NoError(t, err)
	password, _ := at.User.Password()
	credentials, err := json.Marshal(map[string]string{
		"host": host, "port": port, "username": at.User.Username(), "password": password, "dbname": at.Path[1:], "sslmode": "disable",
	})
	require.NoError(t, err)
	secrets := httptest.NewServer(awsfake.Secret(credentials))
	t.Cleanup(secrets.Close)

	s.function = lambdaruntime.New(lambdaruntime.Settings{
		Bootstrap: path, Timeout: timeout, Concurrency: processes, Log: s.log,
		Begun: func(trace string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.invocations[trace] = time.Now()
		},
		Environment: []string{
			"LAKE_BUCKET=lake", "POSTGRES_SECRET_ARN=arn", "RECOMMENDATION_STREAM_NAME=recommendations",
			"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024",
			"AWS_ENDPOINT_URL=http://" + s.network["S3"].Listen,
			"AWS_ENDPOINT_URL_FIREHOSE=http://" + s.network["Firehose"].Listen,
			"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + secrets.URL,
		},
	})
	s.poller = &eventsource.Poller{
		Stream: s.stream, Mapping: deployed.Mapping, Function: s.function.Invoke,
		Pause: func(attempt int) time.Duration {
			return min(time.Duration(attempt*attempt)*10*time.Millisecond, time.Second)
		},
		OnFailure: func(d eventsource.Discarded) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.givenUp += len(d.Records)
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { s.poller.Run(ctx); close(stopped) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-stopped
		require.NoError(t, s.function.Close())
	})
	t.Cleanup(s.stop)
	return s
}

// swap makes another model active.
func (s *system) swap(t *testing.T) {
	s.models++
	version := shoptest.Load(t, s.store, fmt.Sprintf("20261122T%06dZ", s.models))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.activations = append(s.activations, chaos.Activation{Version: version, At: time.Now()})
}

// put sends the n-th event of the test, of one of 40 users or of nobody, and writes down that it was acknowledged.
func (s *system) put(n int, user string, valid bool) {
	session, first, second := fmt.Sprint("s-", n/3), shoptest.Products[n%len(shoptest.Products)], shoptest.Products[n/2%len(shoptest.Products)]
	text := fmt.Sprintf(`{"n":%d,"session_id":%q,"browse_history":[{"product_code":%q,"quantity":"%d"},{"product_code":%q,"in_shopping_cart":true}]`, n, session, first, 1+n%3, second)
	key := "nobody"
	if user != "" {
		text += `,"customer_number":` + user
		key = user
	}
	if valid {
		text += "}"
	}
	from := time.Now()
	shard, sequence := s.stream.Put(key, []byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, chaos.Sent{
		ID: shard + ":" + sequence, N: n, User: user, Valid: valid,
		Session: session, Items: fmt.Sprintf("%s %d false, %s 1 true", first, 1+n%3, second), From: from, To: time.Now(),
	})
}

// rest waits until all is done and compares. It takes the system's own answer for done only so far: what is not done then is stuck.
func (s *system) rest(t *testing.T, patience time.Duration) (chaos.Outcome, chaos.Verdict) {
	end := time.Now().Add(patience)
	for s.poller.Done() < s.stream.Len() && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
	s.stop()
	o := chaos.Outcome{
		Sent: s.sent, Lines: s.firehose.Lines(), Quarantine: s.bucket.Objects(), Activations: s.activations, Invocations: s.invocations,
		Unfinished: s.stream.Len() - s.poller.Done(), GivenUp: s.givenUp,
	}
	connection, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	rows, err := connection.Query(t.Context(), `select user_id, event_id, session_id, happened_at,
		(select string_agg(concat_ws(' ', i->>'item', i->>'quantity', i->>'in_cart'), ', ' order by n) from jsonb_array_elements(items) with ordinality list (i, n))
		from millrace.user_activity`)
	require.NoError(t, err)
	o.Activity, err = pgx.CollectRows(rows, pgx.RowToStructByPos[chaos.Remembered])
	require.NoError(t, err)
	require.NoError(t, connection.Close(t.Context()))
	return o, chaos.Check(o)
}
