package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// stream keeps what is put; refuse tells which entries of which call a busy shard refuses.
type stream struct {
	refuse func(call, entry int) bool
	err    error
	calls  int
	put    []types.PutRecordsRequestEntry
}

func (s *stream) PutRecords(_ context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	if s.err != nil {
		return nil, s.err
	}
	out := &kinesis.PutRecordsOutput{}
	for n, e := range in.Records {
		if s.refuse != nil && s.refuse(s.calls, n) {
			out.Records = append(out.Records, types.PutRecordsResultEntry{ErrorCode: aws.String("ProvisionedThroughputExceededException")})
			continue
		}
		s.put = append(s.put, e)
		out.Records = append(out.Records, types.PutRecordsResultEntry{ShardId: aws.String("shardId-000000000000"), SequenceNumber: aws.String(fmt.Sprint(len(s.put)))})
	}
	s.calls++
	return out, nil
}

type bundle struct {
	api     *api
	store   *vectorstore.Store
	at      *atomic.Value // the database's URL, asked for each connection
	stream  *stream
	version string
}

// empty has a database without a model.
func empty(t *testing.T) bundle {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	at := &atomic.Value{}
	at.Store(postgrestest.Database(t))
	store, err := vectorstore.Open(t.Context(), func(context.Context) (string, error) { return at.Load().(string), nil })
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	b := bundle{store: store, at: at, stream: &stream{}}
	b.api = &api{
		names: shop.Event, models: activemodel.New(b.store, shop, math.MaxInt64), store: b.store, stream: b.stream, streamName: "events",
		now: func() time.Time { return now }, wait: func(context.Context, time.Duration) error { return nil }, random: func() float64 { return 0.5 },
	}
	return b
}

func setup(t *testing.T) bundle {
	b := empty(t)
	b.version = shoptest.Load(t, b.store, "20261122T020000Z")
	return b
}

// offline needs no database: requests that end before one is asked.
func offline(t *testing.T) bundle {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	b := bundle{stream: &stream{}}
	b.api = &api{names: shop.Event, stream: b.stream, streamName: "events", random: func() float64 { return 0.5 },
		wait: func(context.Context, time.Duration) error { return nil }}
	return b
}

type answer struct {
	Status  int
	Header  http.Header
	Title   string
	Type    string
	Detail  string
	User    string
	Item    string
	Version string `json:"model_version"`
	How     string `json:"strategy"`
	Items   []struct {
		ID, Name, Why, Because string
		Score                  float64
		BecauseName            string `json:"because_name"`
	} `json:"recommended_items"`
	Similar []struct {
		ID, Name string
		Distance float64
	} `json:"similar_items"`
	Models     []vectorstore.Version
	Experiment *vectorstore.Experiment
	Accepted   []*accepted
	Not        []int `json:"not_accepted"`
	Errors     []struct {
		Index  int
		Reason string
	}
}

func (b bundle) ask(t *testing.T, method, target, body string) (a answer) {
	return b.askWithin(t, time.Hour, method, target, body)
}

func (b bundle) askWithin(t *testing.T, limit time.Duration, method, target, body string) (a answer) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	w := httptest.NewRecorder()
	b.api.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body)))
	require.NoError(t, ctx.Err(), "Lambda would have ended the function")
	return b.read(t, w.Code, w.Header(), w.Body)
}

func (b bundle) read(t *testing.T, status int, header http.Header, body io.Reader) (a answer) {
	var raw struct {
		Status int
		answer
	}
	require.NoError(t, json.NewDecoder(body).Decode(&raw))
	a = raw.answer
	a.Status, a.Header = status, header
	if status >= 400 {
		require.Equal(t, "application/problem+json", header.Get("Content-Type"))
		require.Equal(t, status, raw.Status)
		require.Equal(t, "about:blank", a.Type)
		require.Equal(t, http.StatusText(status), a.Title)
		require.NotEmpty(t, a.Detail)
	} else {
		require.Equal(t, "application/json", header.Get("Content-Type"))
	}
	return a
}

// invoke sends an event of events/ the way the function URL does.
func (b bundle) invoke(t *testing.T, name string) answer {
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	var request lambda.LambdaFunctionURLRequest
	require.NoError(t, json.Unmarshal(text, &request))
	response, err := lambdaurl.Wrap(b.api.Handler())(t.Context(), &request)
	require.NoError(t, err)
	header := http.Header{}
	for k, v := range response.Headers {
		header.Set(k, v)
	}
	return b.read(t, response.StatusCode, header, response.Body)
}

func TestFunctionUrlEventsAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.invoke(t, "api-recommendations.json")
	require.Equal(t, 200, a.Status)
	require.Equal(t, "103", a.User)
	require.Len(t, a.Items, 3, "limit=3")
	require.Equal(t, "known_user", a.How)
	require.Equal(t, b.version, a.Version)
	require.Equal(t, "Name of "+a.Items[0].ID, a.Items[0].Name)

	a = b.invoke(t, "api-similar.json")
	require.Equal(t, 200, a.Status)
	require.Len(t, a.Similar, 5)
	for k, near := range a.Similar {
		require.NotEqual(t, "S10_1678", near.ID)
		require.True(t, k == 0 || near.Distance >= a.Similar[k-1].Distance)
	}

	a = b.invoke(t, "api-models.json")
	require.Equal(t, 200, a.Status)
	require.Len(t, a.Models, 1)
	require.Equal(t, vectorstore.Active, a.Models[0].State)
	require.Nil(t, a.Experiment)

	a = b.invoke(t, "api-event.json")
	require.Equal(t, 202, a.Status)
	require.Equal(t, []*accepted{{"shardId-000000000000:1", "shardId-000000000000", "1"}}, a.Accepted)
	require.Equal(t, "103", *b.stream.put[0].PartitionKey)

	other := shoptest.Load(t, b.store, "20261123T020000Z")
	_, err := b.store.StartExperiment(t.Context(), b.version, other, 0.25, "me")
	require.NoError(t, err)
	a = b.invoke(t, "api-models.json")
	require.Equal(t, 0.25, a.Experiment.Weight)
	_, err = b.store.StopExperiment(t.Context(), "seen enough")
	require.NoError(t, err)
	require.Nil(t, b.invoke(t, "api-models.json").Experiment)
	_, _, err = b.store.Rollback(t.Context(), "me", "back to what is expected below")
	require.NoError(t, err)

	a = b.invoke(t, "api-unknown-item.json")
	require.Equal(t, 404, a.Status)
	require.Contains(t, a.Detail, `"NOT_IN_THE_SHOP" is not in model `+b.version)

	a = b.invoke(t, "api-bad-event.json")
	require.Equal(t, 422, a.Status)
	require.Contains(t, a.Detail, `"browse_history" is missing`)
	require.Len(t, b.stream.put, 1, "nothing more was put")
}

func TestTodaysSessionChangesWhatIsRecommendedAndIsNotRecommendedItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.ask(t, "GET", "/users/103/recommendations?limit=12", "")
	require.Len(t, before.Items, 12, "without a session nothing is hidden")
	require.Empty(t, before.Items[0].Because)
	require.Equal(t, "known_user", before.Items[0].Why)
	seen := before.Items[len(before.Items)-1].ID
	require.NoError(t, b.store.RecordActivity(t.Context(), []vectorstore.Activity{
		{User: "103", EventID: "shard:0", Session: "r", HappenedAt: now.Add(-8 * 24 * time.Hour), Items: []vectorstore.Seen{{Item: seen, Quantity: 1}}},
	}))
	require.Equal(t, before.Items, b.ask(t, "GET", "/users/103/recommendations?limit=12", "").Items, "last week is forgotten")
	require.NoError(t, b.store.RecordActivity(t.Context(), []vectorstore.Activity{
		{User: "103", EventID: "shard:1", Session: "s", HappenedAt: now.Add(-25 * time.Hour), Items: []vectorstore.Seen{{Item: seen, Quantity: 1}}},
	}))
	yesterday := b.ask(t, "GET", "/users/103/recommendations?limit=12", "")
	require.Len(t, yesterday.Items, 12, "what was seen yesterday may be recommended")
	require.NotEqual(t, before.Items, yesterday.Items, "and counts")
	require.NoError(t, b.store.RecordActivity(t.Context(), []vectorstore.Activity{
		{User: "103", EventID: "shard:2", Session: "t", HappenedAt: now.Add(-time.Minute), Items: []vectorstore.Seen{{Item: seen, Quantity: 1}}},
	}))
	after := b.ask(t, "GET", "/users/103/recommendations?limit=12", "")
	require.Len(t, after.Items, 11)
	reasons := 0
	for _, i := range after.Items {
		require.NotEqual(t, seen, i.ID)
		require.Equal(t, i.Why == "session", i.Because != "")
		if i.Because != "" {
			reasons++
			require.Equal(t, seen, i.Because)
			require.Equal(t, "Name of "+seen, i.BecauseName)
		}
	}
	require.Positive(t, reasons)
}

func TestStrangersGetWhatIsPopularAndThenWhatSuitsTheirSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.ask(t, "GET", "/users/%C5%81%C3%B3d%C5%BA/recommendations", "")
	require.Equal(t, "Łódź", a.User)
	require.Equal(t, "popularity", a.How)
	require.Len(t, a.Items, 5)
	require.Equal(t, shoptest.Products[0], a.Items[0].ID)
	require.NoError(t, b.store.RecordActivity(t.Context(), []vectorstore.Activity{
		{User: "Łódź", EventID: "shard:1", HappenedAt: now, Items: []vectorstore.Seen{{Item: "S12_1099", Quantity: 1}}},
	}))
	require.Equal(t, "session", b.ask(t, "GET", "/users/%C5%81%C3%B3d%C5%BA/recommendations", "").How)
}

func TestIdsMayContainAnything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"a/b", "../x", "a?b#c", "50%", "ü +&"} {
		require.NoError(t, b.store.RecordActivity(t.Context(), []vectorstore.Activity{
			{User: id, EventID: "shard:1", HappenedAt: now, Items: []vectorstore.Seen{{Item: "S12_1099", Quantity: 1}}},
		}))
		a := b.ask(t, "GET", "/users/"+url.PathEscape(id)+"/recommendations", "")
		require.Equal(t, 200, a.Status, id)
		require.Equal(t, id, a.User)
		require.Equal(t, "session", a.How, "this user's")
		a = b.ask(t, "GET", "/items/"+url.PathEscape(id)+"/similar", "")
		require.Equal(t, 404, a.Status)
		require.Contains(t, a.Detail, fmt.Sprintf("Item %q is not in model", id))
	}
}

func TestWhenTheDatabaseDoesNotAnswerTheLastModelAnswersWhatIsPopularAndSaysSo(t *testing.T) {
	t.Parallel()
	for state, change := range map[string]func(*testing.T, bundle){
		"down": func(t *testing.T, b bundle) {
			database := b.at.Swap("postgres://shop@127.0.0.1:1/shop").(string)
			postgrestest.Exec(t, database, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
		},
		"silent": func(t *testing.T, b bundle) {
			other, err := pgx.Connect(t.Context(), b.at.Load().(string))
			require.NoError(t, err)
			t.Cleanup(func() { other.Close(context.WithoutCancel(t.Context())) })
			_, err = other.Exec(t.Context(), `begin; lock table millrace.active_model`)
			require.NoError(t, err)
		},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.Equal(t, "known_user", b.ask(t, "GET", "/users/103/recommendations", "").How)
			similar := b.ask(t, "GET", "/items/S10_1678/similar", "")
			change(t, b)
			a := b.askWithin(t, 4*time.Second, "GET", "/users/103/recommendations?limit=7", "")
			require.Equal(t, 200, a.Status)
			require.Equal(t, "popularity", a.How)
			require.Equal(t, b.version, a.Version)
			require.Len(t, a.Items, 7)
			require.Equal(t, shoptest.Products[0], a.Items[0].ID)
			require.Equal(t, "popularity", a.Items[0].Why)
			require.Equal(t, similar.Similar, b.askWithin(t, 4*time.Second, "GET", "/items/S10_1678/similar", "").Similar)
		})
	}
}

func TestAnErrorOfTheDatabaseIsNotAnsweredByPopularity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, 200, b.ask(t, "GET", "/users/103/recommendations", "").Status)
	postgrestest.Exec(t, b.at.Load().(string), `alter table millrace.user_activity rename to elsewhere`)
	a := b.ask(t, "GET", "/users/103/recommendations", "")
	require.Equal(t, 503, a.Status)
	require.Empty(t, a.How)
}

func TestApiFollowsThePointer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, b.version, b.ask(t, "GET", "/items/S10_1678/similar", "").Version)
	next := shoptest.Load(t, b.store, "20261123T020000Z")
	require.Equal(t, next, b.ask(t, "GET", "/items/S10_1678/similar", "").Version)
}

func TestWithoutAModelTheApiSaysSo(t *testing.T) {
	t.Parallel()
	b := empty(t)
	a := b.ask(t, "GET", "/users/103/recommendations", "")
	require.Equal(t, 503, a.Status)
	require.Contains(t, a.Detail, "No model has been loaded yet")
	require.Equal(t, "2", a.Header.Get("Retry-After"))
	require.Empty(t, b.ask(t, "GET", "/models", "").Models)
}

func TestAnUnreachableDatabaseIsNotExplainedToStrangers(t *testing.T) {
	t.Parallel()
	b := offline(t)
	down, err := vectorstore.Open(t.Context(), vectorstore.URL("postgres://shop@127.0.0.1:1/shop"))
	require.NoError(t, err)
	t.Cleanup(down.Close)
	b.api.models = activemodel.New(down, &dataset.Dataset{}, math.MaxInt64)
	a := b.ask(t, "GET", "/items/S10_1678/similar", "")
	require.Equal(t, 503, a.Status)
	require.NotContains(t, a.Detail, "127.0.0.1")
}

func TestWrongRequestsAreProblems(t *testing.T) {
	t.Parallel()
	const ok = `{"browse_history":[]}`
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		detail               string
	}{
		"no such path":        {"GET", "/nowhere", "", 404, "GET /users/{id}/recommendations"},
		"wrong method":        {"DELETE", "/models", "", 405, "takes GET, not DELETE"},
		"limit is no number":  {"GET", "/users/1/recommendations?limit=many", "", 400, "1 to 100"},
		"limit is zero":       {"GET", "/items/1/similar?limit=0", "", 400, "1 to 100"},
		"limit is too large":  {"GET", "/users/1/recommendations?limit=101", "", 400, "1 to 100"},
		"NUL in a user's id":  {"GET", "/users/1%00/recommendations", "", 400, "U+0000"},
		"an item's not UTF-8": {"GET", "/items/%ff/similar", "", 400, "not UTF-8"},
		"empty body":          {"POST", "/events", "", 422, "not valid JSON"},
		"event is not JSON":   {"POST", "/events", "{", 422, "not valid JSON"},
		"array is not JSON":   {"POST", "/events", "[{]", 400, "not valid JSON"},
		"empty array":         {"POST", "/events", "[]", 400, "want 1 to 500"},
		"too many events":     {"POST", "/events", "[" + strings.Repeat(ok+",", 500) + ok + "]", 400, "has 501 events"},
		"body too large":      {"POST", "/events", strings.Repeat(" ", maxBody+1), 413, "1048576 bytes"},
		"one of two is wrong": {"POST", "/events", "[" + ok + `,{"browse_history":1}]`, 422, "1 of 2 events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := offline(t)
			a := b.ask(t, c.method, c.target, c.body)
			require.Equal(t, c.status, a.Status)
			require.Contains(t, a.Detail, c.detail)
			require.Empty(t, b.stream.put, "all or nothing")
			if c.status == 405 {
				require.Equal(t, "GET", a.Header.Get("Allow"))
			}
			if name == "one of two is wrong" {
				require.Equal(t, 1, a.Errors[0].Index)
			}
		})
	}
}

const three = `[{"customer_number":103,"browse_history":[]},{"session_id":"s","browse_history":[]},{"browse_history":[]}]`

func TestEventsOfAUserStayInOrderOnOneShard(t *testing.T) {
	t.Parallel()
	b := offline(t)
	a := b.ask(t, "POST", "/events", three)
	require.Equal(t, 202, a.Status)
	require.Len(t, a.Accepted, 3)
	require.Equal(t, "103", *b.stream.put[0].PartitionKey)
	require.Equal(t, "s", *b.stream.put[1].PartitionKey)
	require.NotEmpty(t, *b.stream.put[2].PartitionKey)
	require.JSONEq(t, `{"customer_number":103,"browse_history":[]}`, string(b.stream.put[0].Data))
}

func TestEventsThatABusyShardRefusesAreSentAgain(t *testing.T) {
	t.Parallel()
	b := offline(t)
	b.stream.refuse = func(call, entry int) bool { return call == 0 && entry == 1 }
	a := b.ask(t, "POST", "/events", three)
	require.Equal(t, 202, a.Status)
	require.Len(t, b.stream.put, 3)
	require.Equal(t, "shardId-000000000000:3", a.Accepted[1].EventID)
}

func TestPartlyAcceptedEventsAreNamed(t *testing.T) {
	t.Parallel()
	b := offline(t)
	b.stream.refuse = func(call, entry int) bool { return call > 0 || entry == 1 }
	a := b.ask(t, "POST", "/events", three)
	require.Equal(t, 503, a.Status)
	require.Equal(t, []int{1}, a.Not)
	require.NotNil(t, a.Accepted[0])
	require.Nil(t, a.Accepted[1])
	require.Equal(t, 3, b.stream.calls)

	b.stream.err = errors.New("no such stream")
	a = b.ask(t, "POST", "/events", three)
	require.Equal(t, 503, a.Status)
	require.NotContains(t, a.Detail, "no such stream")
	require.Contains(t, a.Detail, "those that it took all the same count twice")
}

func TestAnEventIsOneLineInTheStream(t *testing.T) {
	t.Parallel()
	b := offline(t)
	a := b.ask(t, "POST", "/events", "[{\"browse_history\": [\n\t{\"product_code\":\"a\\nb\", \"price\": 1.50}\n]}]")
	require.Equal(t, 202, a.Status)
	require.Equal(t, `{"browse_history":[{"product_code":"a\nb","price":1.50}]}`, string(b.stream.put[0].Data))
	a = b.ask(t, "POST", "/events", "\ufeff{\r\n\"browse_history\":[]}")
	require.Equal(t, 202, a.Status)
	require.Equal(t, `{"browse_history":[]}`, string(b.stream.put[1].Data))
}
