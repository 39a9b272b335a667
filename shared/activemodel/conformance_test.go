package activemodel_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

const dimension = 8

// shop has every rule.
var shop = &dataset.Dataset{
	Event: dataset.Event{Weights: dataset.Weights{View: 1, Cart: 3, Quantity: 1, Decay: 0.4}},
	Recommendations: dataset.Recommendations{
		Hide: dataset.HideBought, InStock: "stock", PerCategory: dataset.PerCategory{Column: "line", AtMost: 2},
	},
}

func id(n int) string { return fmt.Sprintf("i%04d", n) }

type bundle struct {
	url              string
	store            *vectorstore.Store
	memory, database *activemodel.Model
}

// setup loads n items, of which every third has the embedding of the one before it, and opens both ways to answer from them. So many in
// a hundred are of one line, which a bound keeps out of lists.
func setup(t *testing.T, n int, blend float64, ofOneLine int) bundle {
	b := bundle{url: postgrestest.Database(t)}
	var err error
	b.store, err = vectorstore.Open(t.Context(), vectorstore.URL(b.url))
	require.NoError(t, err)
	t.Cleanup(b.store.Close)
	require.NoError(t, b.store.Migrate(t.Context()))

	random := rand.New(rand.NewPCG(5, uint64(n)))
	vector := func() []float32 {
		v := make([]float32, dimension)
		for k := range v {
			v[k] = float32(random.NormFloat64())
		}
		return v
	}
	var items []vectorstore.Entity
	var embeddings []float32
	for k := range n {
		e := vectorstore.Entity{
			ID: id(k), Name: "Item " + id(k), Embedding: vector(), Bias: float32(random.IntN(n / 2)),
			Features: map[string]string{"stock": []string{"0", " -1.5 ", "2", "many", "7e2"}[random.IntN(5)]},
		}
		if k%3 == 2 {
			e.Embedding = items[k-1].Embedding
		}
		if line := random.IntN(4); random.IntN(100) < ofOneLine {
			e.Features["line"] = "line 1"
		} else if line > 0 {
			e.Features["line"] = fmt.Sprint("line ", line)
		}
		items, embeddings = append(items, e), append(embeddings, e.Embedding...)
	}
	users := []vectorstore.Entity{{ID: "bought little", Embedding: vector()}, {ID: "bought nearly all", Embedding: vector()}, {ID: "cold", Embedding: vector(), Cold: true}}
	for k := range int32(n) {
		if k%17 == 0 {
			users[0].Bought = append(users[0].Bought, k)
		}
		if k%29 != 1 {
			users[1].Bought = append(users[1].Bought, k)
		}
	}
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}},
		slices.Concat(vector(), vector(), vector(), vector()), dimension)
	require.NoError(t, err)
	var encoder bytes.Buffer
	require.NoError(t, features.WriteEncoder(&encoder, &features.Encoder{
		Format: features.EncoderFormat, Version: "v", Dimension: dimension, Alpha0: 0.05, Lambda: 0.02, WeightUnit: 1, Items: n, Users: 2,
		Gramian: als.Gramian(embeddings, dimension), MeanUser: vector(), UserSide: &regression, Blend: blend,
	}))
	m := vectorstore.Model{
		Version: "v", Dataset: "shop", Run: "1", ManifestKey: "k", ManifestSHA256: "s", Dimension: dimension, Distance: "inner_product",
		Encoder: encoder.Bytes(), Metrics: []byte(`{}`), Items: each(items), Users: each(users), ItemCount: int64(n), UserCount: int64(len(users)),
	}
	if blend > 0 {
		m.Cooccurrences = func(yield func(vectorstore.Neighbours, error) bool) {
			for k := range n {
				if k%2 == 0 && !yield(vectorstore.Neighbours{Item: int32(k), Others: []int32{int32((k + 5) % n), int32((k + 2) % n)}, Strengths: []float32{.5, .25}}, nil) {
					return
				}
			}
		}
	}
	out, err := b.store.Load(t.Context(), m)
	require.NoError(t, err)
	require.True(t, out.Activated)
	b.memory, b.database = b.open(t, math.MaxInt64), b.open(t, 0)
	return b
}

func each(list []vectorstore.Entity) func(func(vectorstore.Entity, error) bool) {
	return func(yield func(vectorstore.Entity, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (b bundle) open(t *testing.T, budget int64) *activemodel.Model {
	serving, err := activemodel.New(b.store, shop, budget).Serving(t.Context())
	require.NoError(t, err)
	return serving.Default()
}

// requests of all kinds: users known, cold and unknown, sessions of known and unknown items, more asked for than there is.
func requests(ctx context.Context, t *rapid.T, m *activemodel.Model, n int) []recommend.Request {
	ids := []string{"bought little", "bought nearly all", "cold"}
	users, err := m.Users(ctx, ids)
	require.NoError(t, err)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) recommend.Request {
		r := recommend.Request{Limit: rapid.IntRange(0, 12).Draw(t, "limit"), User: users[rapid.SampledFrom(append(ids, "nobody")).Draw(t, "user")]}
		if country := rapid.SampledFrom([]string{"", "France", "Mars"}).Draw(t, "country"); country != "" {
			r.Features = features.Record{"country": country}
		}
		for _, k := range rapid.SliceOfN(rapid.IntRange(0, n+n/4), 0, 25).Draw(t, "session") {
			r.History = append(r.History, event.Entry{Item: id(k), Quantity: float64(k % 3), InCart: k%4 == 0})
		}
		return r
	}), 1, 6).Draw(t, "requests")
}

// answers are those of both ways to the same requests.
func (b bundle) answers(ctx context.Context, t *rapid.T, n int) (list []recommend.Request, memory, database []recommend.Answer) {
	list = requests(ctx, t, b.memory, n)
	memory, err := b.memory.Answers(ctx, list)
	require.NoError(t, err)
	database, err = b.database.Answers(ctx, list)
	require.NoError(t, err)
	return list, memory, database
}

func requireSame(t require.TestingT, want, got []recommend.Answer) {
	require.Len(t, got, len(want))
	for n := range want {
		w, g := want[n], got[n]
		require.Len(t, g.Items, len(w.Items))
		for k := range w.Items {
			require.InDelta(t, w.Items[k].Score, g.Items[k].Score, 1e-3)
			g.Items[k].Score = w.Items[k].Score
		}
		require.Len(t, g.Similar, len(w.Similar))
		for k := range w.Similar {
			require.InDelta(t, w.Similar[k].Distance, g.Similar[k].Distance, 1e-4)
			g.Similar[k].Distance = w.Similar[k].Distance
		}
		require.Equal(t, w, g)
	}
}

// The two ways to answer are one behaviour: what conforms is all of it, filters, bounds, cold users, ties, reasons, similar items and too few
// of them.
func TestAnswersFromTheDatabaseAreThoseFromMemory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		items     int
		blend     float64
		ofOneLine int
	}{
		"many": {400, 0, 0}, "with co-occurrences": {300, 2, 0}, "fewer than asked for": {4, 0, 0}, "more than are kept by popularity": {1200, 0, 0},
		"nearly all of one line": {600, 0, 97}, "nearly all of one line, with co-occurrences": {600, 2, 97},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.items, c.blend, c.ofOneLine)
			rapid.Check(t, func(r *rapid.T) {
				_, want, got := b.answers(t.Context(), r, c.items)
				requireSame(r, want, got)

				item, limit := id(rapid.IntRange(0, c.items+1).Draw(r, "item")), rapid.IntRange(0, 9).Draw(r, "how many")
				name, near, known, err := b.memory.Similar(t.Context(), item, limit)
				require.NoError(r, err)
				name2, near2, known2, err := b.database.Similar(t.Context(), item, limit)
				require.NoError(r, err)
				require.Equal(r, []any{name, known, len(near)}, []any{name2, known2, len(near2)})
				for k := range near {
					require.Equal(r, near[k].ID, near2[k].ID)
					require.InDelta(r, near[k].Distance, near2[k].Distance, 1e-4)
				}
			})
			// Popularity needs no database, and says the same.
			b.store.Close()
			asked := []recommend.Request{{Limit: 5}, {Limit: 3, History: []event.Entry{{Item: id(1)}}}}
			want, got := b.memory.Popular(asked), b.database.Popular(asked)
			for n := range want {
				require.Equal(t, recommend.Popularity, got[n].Strategy)
				require.Equal(t, want[n].Items, got[n].Items)
			}
		})
	}
}

// index gives the version HNSW indexes with these parameters, and opens it anew so that they are used.
func (b *bundle) index(t *testing.T, with string) {
	postgrestest.Exec(t, b.url, fmt.Sprintf(`create index on millrace.item_v1 using hnsw (embedding vector_ip_ops) %[1]s;
		create index on millrace.item_v1 using hnsw (embedding vector_cosine_ops) %[1]s; analyze millrace.item_v1;
		do $$ begin execute format('alter database %%I set enable_seqscan = off', current_database()); end $$`, with))
	var err error
	b.store, err = vectorstore.Open(t.Context(), vectorstore.URL(b.url)) // connections made before would not follow
	require.NoError(t, err)
	t.Cleanup(b.store.Close)
	b.database = b.open(t, 0)
}

// share counts items that the exact search finds too.
type share struct{ found, all int }

func (s *share) count(want, got recommend.Answer) {
	for _, i := range got.Items {
		s.all++
		if slices.ContainsFunc(want.Items, func(w recommend.Item) bool { return w.ID == i.ID }) {
			s.found++
		}
	}
}

// An HNSW index may miss what belongs into a list. It must not make a list shorter, break a rule, or lose much.
func TestAnIndexKeepsEveryRuleAndFillsEveryList(t *testing.T) {
	t.Parallel()
	const n = 3000
	b := setup(t, n, 0, 90)
	b.index(t, "")
	var exact share
	rapid.Check(t, func(r *rapid.T) {
		list, want, got := b.answers(t.Context(), r, n)
		for k := range want {
			require.Len(r, got[k].Items, len(want[k].Items))
			require.Len(r, got[k].Similar, min(list[k].Limit, len(want[k].Similar)))
			exact.count(want[k], got[k])
		}
	})
	t.Logf("%d of %d items are those of the exact search", exact.found, exact.all)
	require.Greater(t, float64(exact.found), .95*float64(exact.all))
}

// An event may be delivered again in another batch, whose searches may find what an index has missed for this one.
func TestWhateverElseIsInTheBatchAnEventIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	const n = 2000
	b := setup(t, n, 2, 0)
	b.index(t, "with (m = 2, ef_construction = 4)") // one that misses much
	var exact share
	rapid.Check(t, func(r *rapid.T) {
		list, want, got := b.answers(t.Context(), r, n)
		for k := range list {
			alone, err := b.database.Answers(t.Context(), list[k:k+1])
			require.NoError(r, err)
			require.Equal(r, alone[0], got[k])
			exact.count(want[k], got[k])
		}
	})
	t.Logf("%d of %d items are those of the exact search", exact.found, exact.all)
	require.Less(t, exact.found, exact.all, "else nothing is tested")
}
