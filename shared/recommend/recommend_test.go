package recommend_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
)

const d = 4

var names = dataset.Event{
	User: "customer_number", Session: "session_id", History: "browse_history", Item: "product_code", Quantity: "quantity", InCart: "in_cart",
	Features: map[string]string{"country": "country"},
}

func vector(random *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for k := range v {
		v[k] = float32(random.NormFloat64())
	}
	return v
}

// model has n items i00, i01, …; i00 is the most popular. Users of France and Peru were fitted.
func model(t require.TestingT, n int) *recommend.Model {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	c := recommend.Catalog{Embeddings: vector(random, n*d)}
	for k := range n {
		c.IDs, c.Names = append(c.IDs, fmt.Sprintf("i%02d", k)), append(c.Names, fmt.Sprintf("Item %d", k))
		c.Bias = append(c.Bias, float32(n-k))
	}
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}}, vector(random, 4*d), d)
	require.NoError(t, err)
	m, err := recommend.NewModel("v1", &features.Encoder{
		Dimension: d, Alpha0: 0.05, Lambda: 0.02, Items: n, Gramian: als.Gramian(c.Embeddings, d), MeanUser: vector(random, d), UserSide: &regression,
	}, c)
	require.NoError(t, err)
	return m
}

func history(items ...string) (list []event.Entry) {
	for _, id := range items {
		list = append(list, event.Entry{Item: id, Quantity: 1})
	}
	return list
}

func TestStrategyIsTheBestThatIsKnown(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	trained, cold := &recommend.User{Embedding: []float32{1, 0, 0, 0}}, &recommend.User{Embedding: []float32{0, 1, 0, 0}, Cold: true}
	france := features.Record{"country": "France"}
	for want, r := range map[string][]recommend.Request{
		recommend.KnownUser:    {{User: trained}, {User: trained, Features: france, History: history("i03")}},
		recommend.UserFeatures: {{User: cold}, {Features: france}, {Features: france, History: history("i03")}},
		recommend.Session:      {{History: history("nobody knows it", "i03")}, {Features: features.Record{"shoe": "44"}, History: history("i03")}},
		recommend.Popularity:   {{}, {History: history("nobody knows it")}, {Features: features.Record{"shoe": "44"}}},
	} {
		for _, request := range r {
			request.Limit = 5
			a, err := m.Answer(request)
			require.NoError(t, err)
			require.Equal(t, want, a.Strategy)
		}
	}
	a, err := m.Answer(recommend.Request{Limit: 3})
	require.NoError(t, err)
	require.Equal(t, "i00 i01 i02", a.Items[0].ID+" "+a.Items[1].ID+" "+a.Items[2].ID)
	require.Equal(t, "i00", a.Seed, "without a session the first recommended item is the seed")
}

func TestBothListsAreFullAndInOrderWheneverEnoughItemsExist(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 25).Draw(t, "items")
		m := model(t, n)
		r := recommend.Request{Limit: rapid.IntRange(0, 8).Draw(t, "limit")}
		if rapid.Bool().Draw(t, "user") {
			r.User = &recommend.User{Embedding: rapid.SliceOfN(rapid.Float32Range(-2, 2), d, d).Draw(t, "embedding"), Cold: rapid.Bool().Draw(t, "cold")}
		}
		in := map[string]bool{}
		for _, k := range rapid.SliceOfN(rapid.IntRange(0, 40), 0, 30).Draw(t, "session") {
			id := fmt.Sprintf("i%02d", k)
			r.History = append(r.History, event.Entry{Item: id, Quantity: float64(k), InCart: k%3 == 0})
			if k < n {
				in[id] = true
			}
		}
		a, err := m.Answer(r)
		require.NoError(t, err)
		require.Len(t, a.Items, min(r.Limit, n-len(in)))
		for k, item := range a.Items {
			require.NotContains(t, in, item.ID, "an item of the session")
			require.True(t, item.Because == "" || in[item.Because], "because of an item of the session")
			require.True(t, k == 0 || item.Score <= a.Items[k-1].Score)
		}
		if a.Seed == "" {
			require.Empty(t, a.Similar)
			return
		}
		require.True(t, len(in) == 0 || in[a.Seed])
		require.Len(t, a.Similar, min(r.Limit, n-1))
		for k, near := range a.Similar {
			require.NotEqual(t, a.Seed, near.ID)
			require.True(t, k == 0 || near.Distance >= a.Similar[k-1].Distance)
		}
	})
}

func TestBecauseNamesTheItemThatThePlaceIsOwedTo(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	near, known := m.Similar("i07", 1)
	require.True(t, known)
	a, err := m.Answer(recommend.Request{User: &recommend.User{Embedding: make([]float32, d)}, History: history("i07"), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "i07", a.Items[0].Because)
	require.Equal(t, "i07", a.Seed)
	require.Equal(t, near[0], a.Similar[0])
	_, known = m.Similar("nobody knows it", 5)
	require.False(t, known)
}

func TestAnItemThatTheSessionSpeaksAgainstIsOwedToNothing(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	list, _ := m.Similar("i07", 19)
	opposite := list[18].ID
	row, err := strconv.Atoi(opposite[1:])
	require.NoError(t, err)
	embedding := vector(rand.New(rand.NewPCG(1, 20)), 20*d)[row*d : (row+1)*d] // as model drew it
	for k := range embedding {
		embedding[k] *= 10
	}
	a, err := m.Answer(recommend.Request{User: &recommend.User{Embedding: embedding}, History: history("i07"), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, opposite, a.Items[0].ID, "the user's own taste")
	require.Empty(t, a.Items[0].Because)
}

func TestRecordOfTheSameEventAndModelHasTheSameId(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	e, err := event.Parse([]byte(`{"session_id":"s","customer_number":7,"city":"Łódź","browse_history":[{"product_code":"i03","quantity":"2"}]}`), names)
	require.NoError(t, err)
	record := func(id string, at int64) map[string]any {
		line, strategy, err := m.AppendRecord(nil, names.Item, e, nil, id, time.Unix(at, 0))
		require.NoError(t, err)
		require.Equal(t, recommend.Session, strategy)
		var r map[string]any
		require.NoError(t, json.Unmarshal(line, &r))
		return r
	}
	first, again, other := record("shard:1", 1), record("shard:1", 2), record("shard:2", 1)
	require.Equal(t, first["recommendation_id"], again["recommendation_id"])
	require.NotEqual(t, first["recommendation_id"], other["recommendation_id"])
	require.Len(t, first["recommended_items"], recommend.ListLength)
	require.Equal(t, "i03", first["similar_items"].(map[string]any)["product_code"])
	require.Equal(t, "Łódź", first["city"])
	require.Equal(t, "v1", first["model_version"])
	require.Equal(t, "session", first["strategy"])
	require.Equal(t, "1970-01-01T00:00:01Z", first["generated_at"])
}

func TestInconsistentModelIsRefused(t *testing.T) {
	t.Parallel()
	encoder := &features.Encoder{Dimension: 2, Alpha0: 1, Lambda: 1, Items: 1, Gramian: make([]float32, 4), MeanUser: make([]float32, 2)}
	_, err := recommend.NewModel("v", encoder, recommend.Catalog{})
	require.ErrorContains(t, err, "model v")
	_, err = recommend.NewModel("v", encoder, recommend.Catalog{IDs: []string{"a"}, Names: []string{"a"}, Bias: []float32{1}, Embeddings: []float32{1, 2, 3}})
	require.ErrorContains(t, err, "dimension 2")
	encoder.Lambda = 0
	_, err = recommend.NewModel("v", encoder, recommend.Catalog{IDs: []string{"a"}, Names: []string{"a"}, Bias: []float32{1}, Embeddings: []float32{1, 2}})
	require.ErrorContains(t, err, "positive definite")
}
