package recommend_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
)

const d = 4

var names = dataset.Event{
	User: "customer_number", Session: "session_id", History: "browse_history", Item: "product_code", Quantity: "quantity", InCart: "in_cart",
	Features: map[string]string{"country": "country"},
	Defaults: dataset.Defaults{User: new(string), Session: new(string), Quantity: &one, InCart: new(bool)},
}

var one = 1.0

// plain is a shop that may recommend everything.
var plain = &dataset.Dataset{Event: dataset.Event{Weights: dataset.Weights{View: 1, Cart: 3, Quantity: 1, Decay: 0.4}}}

func vector(random *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for k := range v {
		v[k] = float32(random.NormFloat64())
	}
	return v
}

// model has n items i00, i01, …; i00 is the most popular. Users of France and Peru were fitted.
func model(t require.TestingT, n int) *recommend.Model {
	return modelOf(t, n, plain, func(*recommend.Catalog, *features.Encoder) {})
}

func modelOf(t require.TestingT, n int, shop *dataset.Dataset, change func(*recommend.Catalog, *features.Encoder)) *recommend.Model {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	c := recommend.Catalog{Embeddings: vector(random, n*d)}
	for k := range n {
		c.IDs, c.Names = append(c.IDs, fmt.Sprintf("i%02d", k)), append(c.Names, fmt.Sprintf("Item %d", k))
		c.Bias = append(c.Bias, float32(n-k))
	}
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}}, vector(random, 4*d), d)
	require.NoError(t, err)
	encoder := &features.Encoder{
		Dimension: d, Alpha0: 0.05, Lambda: 0.02, Items: n, Gramian: als.Gramian(c.Embeddings, d), MeanUser: vector(random, d), UserSide: &regression,
	}
	change(&c, encoder)
	m, err := recommend.NewModel("v1", encoder, c, shop)
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
			require.Equal(t, item.Why == recommend.OneOfSession, item.Because != "")
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
	require.Equal(t, recommend.OneOfSession, a.Items[0].Why)
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
	require.Equal(t, recommend.KnownUser, a.Items[0].Why)
}

func TestWhySaysWhenItWasNotTheSession(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	loud := vector(rand.New(rand.NewPCG(1, 20)), d)
	for k := range loud {
		loud[k] *= 100 // beside this no session counts
	}
	for want, r := range map[string]recommend.Request{
		recommend.KnownUser:    {User: &recommend.User{Embedding: loud}, History: history("i07")},
		recommend.UserFeatures: {User: &recommend.User{Embedding: loud, Cold: true}, History: history("i07")},
		recommend.Popularity:   {},
	} {
		r.Limit = 3
		a, err := m.Answer(r)
		require.NoError(t, err)
		for _, item := range a.Items {
			require.Equal(t, want, item.Why)
			require.Empty(t, item.Because)
		}
	}
	crowd := modelOf(t, 20, plain, func(_ *recommend.Catalog, e *features.Encoder) { e.MeanUser = loud })
	a, err := crowd.Answer(recommend.Request{History: history("i07"), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, recommend.Session, a.Strategy)
	require.Equal(t, recommend.MeanUser, a.Items[0].Why)
	require.Empty(t, a.Items[0].Because)
}

// ruled is a shop with every rule.
var ruled = &dataset.Dataset{
	Event: plain.Event,
	Recommendations: dataset.Recommendations{
		Hide: dataset.HideBought, InStock: "stock", PerCategory: dataset.PerCategory{Column: "line", AtMost: 2},
	},
}

func TestFilteredListsAreFullWheneverEnoughItemsExist(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "items")
		stock := rapid.SliceOfN(rapid.SampledFrom([]string{"", "0", "-1", " 0.0 ", "1", "2.5", "some"}), n, n).Draw(t, "stock")
		category := rapid.SliceOfN(rapid.SampledFrom([]string{"", "cars", "ships", "planes"}), n, n).Draw(t, "category")
		m := modelOf(t, n, ruled, func(c *recommend.Catalog, _ *features.Encoder) { c.Stock, c.Category = stock, category })
		limit := rapid.IntRange(0, 10).Draw(t, "limit")
		r := recommend.Request{Limit: limit}
		hidden := map[int]bool{}
		for _, row := range rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 20).Draw(t, "session") {
			r.History = append(r.History, event.Entry{Item: fmt.Sprintf("i%02d", row)})
			hidden[row] = true
		}
		if rapid.Bool().Draw(t, "known") {
			r.User = &recommend.User{Embedding: vector(rand.New(rand.NewPCG(9, 9)), d)}
			for _, row := range rapid.SliceOfNDistinct(rapid.Int32Range(0, int32(n-1)), 0, n, rapid.ID[int32]).Draw(t, "bought") {
				r.User.Bought = append(r.User.Bought, row)
				hidden[int(row)] = true
			}
			slices.Sort(r.User.Bought)
		}
		forSale := func(row int) bool {
			x, err := strconv.ParseFloat(strings.TrimSpace(stock[row]), 64)
			return err != nil || x > 0
		}
		// Brute force: the scores of everything come from a shop without rules.
		free := modelOf(t, n, plain, func(*recommend.Catalog, *features.Encoder) {})
		everything := r
		everything.Limit, everything.History = n, slices.Clone(r.History)
		scored, err := free.Answer(everything)
		require.NoError(t, err)
		count := map[string]int{}
		var want []string
		for _, item := range scored.Items {
			row, err := strconv.Atoi(item.ID[1:])
			require.NoError(t, err)
			c := category[row]
			if len(want) == limit || hidden[row] || !forSale(row) || c != "" && count[c] == 2 {
				continue
			}
			count[c]++
			want = append(want, item.ID)
		}
		a, err := m.Answer(r)
		require.NoError(t, err)
		var got []string
		for _, item := range a.Items {
			got = append(got, item.ID)
		}
		require.Equal(t, want, got)
		others := 0 // that may be similar to the seed
		for row := range n {
			if a.Seed != "" && a.Seed != fmt.Sprintf("i%02d", row) && forSale(row) {
				others++
			}
		}
		require.Len(t, a.Similar, min(limit, others))
		for _, near := range a.Similar {
			row, err := strconv.Atoi(near.ID[1:])
			require.NoError(t, err)
			require.NotEqual(t, a.Seed, near.ID)
			require.True(t, forSale(row), "nobody can buy it")
		}
	})
}

func TestManyAtOnceAreAnsweredAsOneByOne(t *testing.T) {
	t.Parallel()
	m := model(t, 90)
	rapid.Check(t, func(t *rapid.T) {
		requests := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) recommend.Request {
			r := recommend.Request{Limit: rapid.IntRange(0, 6).Draw(t, "limit")}
			if rapid.Bool().Draw(t, "known") {
				r.User = &recommend.User{Embedding: vector(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), d)}
			}
			for _, row := range rapid.SliceOfN(rapid.IntRange(0, 95), 0, 4).Draw(t, "session") {
				r.History = append(r.History, event.Entry{Item: fmt.Sprintf("i%02d", row)})
			}
			return r
		}), 0, 10).Draw(t, "requests")
		answers, err := m.Answers(requests)
		require.NoError(t, err)
		require.Len(t, answers, len(requests))
		for n, r := range requests {
			alone, err := m.Answer(r)
			require.NoError(t, err)
			for k := range alone.Items {
				require.InDelta(t, alone.Items[k].Score, answers[n].Items[k].Score, 1e-4)
				alone.Items[k].Score = answers[n].Items[k].Score
			}
			require.Equal(t, alone, answers[n])
		}
	})
}

func TestSimilarItemsAreTheSameFromTheCache(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	long, _ := m.Similar("i03", 12)
	for _, limit := range []int{5, 2, 5, 0} {
		list, known := m.Similar("i03", limit)
		require.True(t, known)
		require.Equal(t, long[:limit], list)
	}
	again, _ := m.Similar("i03", 12)
	require.Equal(t, long, again)
}

func TestAModelTunedOnSessionsUsesItsDecayAndItsCooccurrences(t *testing.T) {
	t.Parallel()
	together, err := cooccurrence.Count([][]int32{{7, 4}, {7, 4}, {7, 4}}, 20)
	require.NoError(t, err)
	m := modelOf(t, 20, plain, func(c *recommend.Catalog, e *features.Encoder) { c.Together, e.Blend = together, 1e6 })
	a, err := m.Answer(recommend.Request{History: history("i07"), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "i04", a.Items[0].ID)
	require.Equal(t, "i07", a.Items[0].Because)

	seed := func(decay float64) string {
		m := modelOf(t, 20, plain, func(_ *recommend.Catalog, e *features.Encoder) { e.Decay = decay })
		a, err := m.Answer(recommend.Request{History: []event.Entry{{Item: "i01", Quantity: 2}, {Item: "i02"}}, Limit: 1})
		require.NoError(t, err)
		return a.Seed
	}
	require.Equal(t, "i02", seed(0), "the dataset's .4")
	require.Equal(t, "i01", seed(0.9), "the model's own")
}

func TestRecordOfTheSameEventAndModelHasTheSameId(t *testing.T) {
	t.Parallel()
	m := model(t, 20)
	e, err := event.Parse([]byte(`{"session_id":"s","customer_number":7,"city":"Łódź","browse_history":[{"product_code":"i03","quantity":"2"}]}`), names)
	require.NoError(t, err)
	record := func(id string, at int64) map[string]any {
		records, err := m.Records(names.Item, []recommend.Event{{Event: e, ID: id}}, time.Unix(at, 0))
		require.NoError(t, err)
		require.Equal(t, recommend.Session, records[0].Strategy)
		var r map[string]any
		require.NoError(t, json.Unmarshal(records[0].Line, &r))
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
	_, err := recommend.NewModel("v", encoder, recommend.Catalog{}, plain)
	require.ErrorContains(t, err, "model v")
	_, err = recommend.NewModel("v", encoder, recommend.Catalog{IDs: []string{"a"}, Names: []string{"a"}, Bias: []float32{1}, Embeddings: []float32{1, 2, 3}}, plain)
	require.ErrorContains(t, err, "dimension 2")
	encoder.Lambda = 0
	_, err = recommend.NewModel("v", encoder, recommend.Catalog{IDs: []string{"a"}, Names: []string{"a"}, Bias: []float32{1}, Embeddings: []float32{1, 2}}, plain)
	require.ErrorContains(t, err, "positive definite")
}
