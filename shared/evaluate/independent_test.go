package evaluate_test

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
)

// shelf is a case of everything a ranking is measured by: whole-number scores, so that every implementation sees the same ties.
type shelf struct {
	K      int         `json:"k"`
	Scores [][]float32 `json:"scores"` // user × item, all different within a user
	Seen   [][]int32   `json:"seen"`
	Held   [][]int32   `json:"held"`
}

func drawShelf(random *rand.Rand, users, items, k int) shelf {
	s := shelf{K: k}
	for range users {
		scores := make([]float32, items)
		for i, x := range random.Perm(items) {
			scores[i] = float32(x)
		}
		seen, held := []int32{}, []int32{}
		for i := range int32(items) {
			switch x := random.Float64(); {
			case x < .2:
				seen = append(seen, i)
			case x < .35:
				held = append(held, i)
			}
		}
		s.Scores, s.Seen, s.Held = append(s.Scores, scores), append(s.Seen, seen), append(s.Held, held)
	}
	return s
}

func (s shelf) matrix(t require.TestingT, rows [][]int32) als.Interactions {
	var pairs [][2]int32
	for u, items := range rows {
		for _, i := range items {
			pairs = append(pairs, [2]int32{int32(u), i})
		}
	}
	return matrix(t, len(s.Scores), len(s.Scores[0]), pairs...)
}

func (s shelf) measure(t require.TestingT) (evaluate.Metrics, error) {
	score := evaluate.One(func(u int, row []float32) { copy(row, s.Scores[u]) })
	r, err := evaluate.Rank(context.Background(), score, s.matrix(t, s.Seen), s.matrix(t, s.Held), s.K)
	return r.Metrics, err
}

// naive is the definitions, written once more from the books: sort everything, look every place up, in float64.
func (s shelf) naive() evaluate.Metrics {
	m := evaluate.Metrics{K: s.K}
	has := func(list []int32, i int32) bool {
		for _, x := range list {
			if x == i {
				return true
			}
		}
		return false
	}
	popularity := func(i int32) (n float64) {
		for _, items := range s.Seen {
			if has(items, i) {
				n++
			}
		}
		return n
	}
	listed := map[int32]bool{}
	var listedUsers, places, heldUsers, heldItems float64
	for u, held := range s.Held {
		if len(held) == 0 {
			continue
		}
		m.Users++
		var order []int32
		for i := range int32(len(s.Scores[u])) {
			if !has(s.Seen[u], i) {
				order = append(order, i)
			}
		}
		sort.SliceStable(order, func(a, b int) bool { return s.Scores[u][order[a]] > s.Scores[u][order[b]] })
		var hits, dcg, idcg, first float64
		for place := 1; place <= s.K; place++ {
			if place <= len(held) {
				idcg += math.Ln2 / math.Log(float64(place)+1)
			}
			if place > len(order) {
				continue
			}
			i := order[place-1]
			listed[i] = true
			listedUsers, places = listedUsers+popularity(i), places+1
			if has(held, i) {
				hits, dcg = hits+1, dcg+math.Ln2/math.Log(float64(place)+1)
				if first == 0 {
					first = 1 / float64(place)
				}
			}
		}
		for _, i := range held {
			heldUsers, heldItems = heldUsers+popularity(i), heldItems+1
		}
		m.Recall += hits / float64(len(held))
		m.Precision += hits / float64(s.K)
		m.NDCG += dcg / idcg
		m.MRR += first
		if hits > 0 {
			m.HitRate++
		}
	}
	for _, mean := range []*float64{&m.Recall, &m.Precision, &m.NDCG, &m.MRR, &m.HitRate} {
		*mean /= float64(m.Users)
	}
	m.Coverage = float64(len(listed)) / float64(len(s.Scores[0]))
	if heldUsers > 0 {
		m.PopularityBias = (listedUsers / places) / (heldUsers / heldItems)
	}
	return m
}

func requireSame(t require.TestingT, want, got evaluate.Metrics) {
	require.Equal(t, want.Users, got.Users)
	for name, pair := range map[string][2]float64{
		"recall": {want.Recall, got.Recall}, "ndcg": {want.NDCG, got.NDCG}, "precision": {want.Precision, got.Precision}, "mrr": {want.MRR, got.MRR},
		"hit rate": {want.HitRate, got.HitRate}, "coverage": {want.Coverage, got.Coverage}, "popularity bias": {want.PopularityBias, got.PopularityBias},
	} {
		require.InDelta(t, pair[0], pair[1], 1e-9, name)
	}
}

func TestMetricsAgreeWithTheirDefinitionsWrittenOnceMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		s := drawShelf(random, rapid.IntRange(1, 40).Draw(t, "users"), rapid.IntRange(2, 30).Draw(t, "items"), rapid.IntRange(1, 12).Draw(t, "k"))
		want := s.naive()
		got, err := s.measure(t)
		if want.Users == 0 {
			require.ErrorIs(t, err, evaluate.ErrNobody)
			return
		}
		require.NoError(t, err)
		requireSame(t, want, got)
	})
}

var update = flag.Bool("update", false, "write testdata/shelf.json anew; then run testdata/expected.py")

// TestMetricsAgreeWithTrecEval compares with pytrec_eval, the Python binding of NIST's trec_eval: testdata/expected.py made expected.json of shelf.json.
func TestMetricsAgreeWithTrecEval(t *testing.T) {
	t.Parallel()
	if *update {
		text, err := json.Marshal(drawShelf(rand.New(rand.NewPCG(5, 0)), 60, 40, 7))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/shelf.json", text, 0o600))
	}
	var s shelf
	var want map[string]float64
	for name, into := range map[string]any{"testdata/shelf.json": &s, "testdata/expected.json": &want} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	got, err := s.measure(t)
	require.NoError(t, err)
	require.InDelta(t, want["recall_7"], got.Recall, 1e-9)
	require.InDelta(t, want["ndcg_cut_7"], got.NDCG, 1e-9)
	require.InDelta(t, want["P_7"], got.Precision, 1e-9)
	require.InDelta(t, want["success_7"], got.HitRate, 1e-9)
	require.InDelta(t, want["recip_rank_7"], got.MRR, 1e-9)
	require.InDelta(t, want["users"], got.Users, 0)
}

func TestNextItemOfASessionIsRankedAmongAllItems(t *testing.T) {
	t.Parallel()
	seen := matrix(t, 3, 4, [2]int32{0, 0}, [2]int32{1, 0}, [2]int32{1, 2})
	order := evaluate.One(func(_ int, s []float32) { copy(s, []float32{4, 3, 2, 1}) })
	r, err := evaluate.Next(t.Context(), order, seen, []int32{0, 1, 3, -1}, 2)
	require.NoError(t, err)
	require.Equal(t, evaluate.Metrics{K: 2, Users: 4, Recall: .5, NDCG: (1 + 1/math.Log2(3)) / 4, Precision: .25, MRR: 1.5 / 4, HitRate: .5,
		Coverage: .5, PopularityBias: (2. / 2) / (2. / 4)}, r.Metrics, "an item that does not exist is asked for in vain")
}

// Users {a,b} {a,b} {a,c} {d}: a and b share two of 3 and 2 users, a and c one of 3 and 1.
func TestNeighboursAreItemsOfTheSameUsers(t *testing.T) {
	t.Parallel()
	m := matrix(t, 4, 4, [2]int32{0, 0}, [2]int32{0, 1}, [2]int32{1, 0}, [2]int32{1, 1}, [2]int32{2, 0}, [2]int32{2, 2}, [2]int32{3, 3})
	near := evaluate.ItemNeighbours(m)
	scores := make([]float32, 4)
	near.Score(m)([]int{2}, [][]float32{scores}) // has a and c
	require.InDeltaSlice(t, []float64{1 / math.Sqrt(3), 2 / math.Sqrt(6), 1 / math.Sqrt(3), 0}, scores, 1e-6)
}

func TestConfidenceIsThatOfAMean(t *testing.T) {
	t.Parallel()
	const users = 400
	var held [][2]int32
	for u := range int32(users) {
		held = append(held, [2]int32{u, 0})
	}
	coin := evaluate.One(func(u int, s []float32) { copy(s, []float32{float32(u % 2), .5}) })
	r, err := evaluate.Rank(t.Context(), coin, matrix(t, users, 2), matrix(t, users, 2, held...), 1)
	require.NoError(t, err)
	c := r.Confidence(1)
	// the mean of 400 fair coins has a deviation of .025: 95 % lie within ±.049
	require.InDelta(t, .451, c.Recall.Low, .012)
	require.InDelta(t, .549, c.Recall.High, .012)
	require.Equal(t, c.Recall, c.MRR)
}
