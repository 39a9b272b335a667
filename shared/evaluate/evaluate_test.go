package evaluate_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
)

func matrix(t require.TestingT, users, items int, pairs ...[2]int32) als.Interactions {
	list := make([]als.Interaction, len(pairs))
	for k, p := range pairs {
		list[k] = als.Interaction{User: p[0], Item: p[1], Weight: 1}
	}
	m, err := als.Collect(users, items, list)
	require.NoError(t, err)
	return m
}

// fixed ranks the items of each user in the given order.
func fixed(order ...[]int32) evaluate.Score {
	return evaluate.One(func(user int, scores []float32) {
		for rank, item := range order[user] {
			scores[item] = float32(-rank)
		}
	})
}

func TestMetricsMatchHandComputedCases(t *testing.T) {
	t.Parallel()
	third := 1 / math.Log2(4) // discount of the third place
	second := 1 / math.Log2(3)
	cases := map[string]struct {
		order                             []int32
		seen, held                        []int32
		k                                 int
		recall, ndcg, hit, precision, mrr float64
	}{
		"perfect":                             {order: []int32{3, 1, 0, 2, 4}, held: []int32{1, 3}, k: 2, recall: 1, ndcg: 1, hit: 1, precision: 1, mrr: 1},
		"nothing found":                       {order: []int32{0, 1, 2, 3, 4}, held: []int32{4}, k: 3, recall: 0, ndcg: 0, hit: 0, precision: 0, mrr: 0},
		"third place":                         {order: []int32{0, 1, 2, 3, 4}, held: []int32{2}, k: 3, recall: 1, ndcg: third, hit: 1, precision: 1. / 3, mrr: 1. / 3},
		"two of three, places 1 and 3":        {order: []int32{0, 1, 2, 3, 4}, held: []int32{0, 2, 4}, k: 3, recall: 2. / 3, ndcg: (1 + third) / (1 + second + third), hit: 1, precision: 2. / 3, mrr: 1},
		"masked items give their place away":  {order: []int32{0, 1, 2, 3, 4}, seen: []int32{0, 1}, held: []int32{2}, k: 1, recall: 1, ndcg: 1, hit: 1, precision: 1, mrr: 1},
		"more wanted than the list can hold":  {order: []int32{0, 1, 2, 3, 4}, held: []int32{0, 1, 2, 3}, k: 2, recall: .5, ndcg: 1, hit: 1, precision: 1, mrr: 1},
		"list longer than the catalogue":      {order: []int32{0, 1, 2, 3, 4}, held: []int32{1}, k: 50, recall: 1, ndcg: second, hit: 1, precision: 1. / 50, mrr: .5},
		"everything but the wanted is masked": {order: []int32{0, 1, 2, 3, 4}, seen: []int32{0, 1, 2, 3}, held: []int32{4}, k: 5, recall: 1, ndcg: 1, hit: 1, precision: 1. / 5, mrr: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pairs := func(items []int32) (list [][2]int32) {
				for _, i := range items {
					list = append(list, [2]int32{0, i})
				}
				return list
			}
			r, err := evaluate.Rank(t.Context(), fixed(c.order), matrix(t, 1, 5, pairs(c.seen)...), matrix(t, 1, 5, pairs(c.held)...), c.k)
			require.NoError(t, err)
			require.InDelta(t, c.recall, r.Recall, 1e-12)
			require.InDelta(t, c.ndcg, r.NDCG, 1e-12)
			require.InDelta(t, c.hit, r.HitRate, 1e-12)
			require.InDelta(t, c.precision, r.Precision, 1e-12)
			require.InDelta(t, c.mrr, r.MRR, 1e-12)
		})
	}
}

func TestMeansAreOverUsersWithHeldOutItems(t *testing.T) {
	t.Parallel()
	order := []int32{0, 1, 2}
	r, err := evaluate.Rank(t.Context(), fixed(order, order, order), matrix(t, 3, 3), matrix(t, 3, 3, [2]int32{0, 0}, [2]int32{2, 2}), 1)
	require.NoError(t, err)
	require.Equal(t, evaluate.Metrics{K: 1, Users: 2, Recall: .5, NDCG: .5, Precision: .5, MRR: .5, HitRate: .5, Coverage: 1. / 3}, r.Metrics)

	_, err = evaluate.Rank(t.Context(), fixed(order, order, order), matrix(t, 3, 3), matrix(t, 3, 3), 1)
	require.ErrorIs(t, err, evaluate.ErrNobody)
}

// TestRankingAgreesWithSortingEverything checks the heap, the mask and the rule for equal and undefined scores.
func TestRankingAgreesWithSortingEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, k := rapid.IntRange(1, 40).Draw(t, "items"), rapid.IntRange(1, 12).Draw(t, "k")
		scores := rapid.SliceOfN(rapid.SampledFrom([]float32{0, 1, 2, 3, float32(math.NaN())}), n, n).Draw(t, "scores")
		role := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "role") // 0 nothing, 1 seen, 2 held out
		var seen, held [][2]int32
		var rest []int32
		for i := range n {
			switch role[i] {
			case 1:
				seen = append(seen, [2]int32{0, int32(i)})
				continue
			case 2:
				held = append(held, [2]int32{0, int32(i)})
			}
			rest = append(rest, int32(i))
		}
		if len(held) == 0 {
			t.Skip("nothing held out")
		}
		slices.SortStableFunc(rest, func(a, b int32) int {
			value := func(i int32) float64 {
				if math.IsNaN(float64(scores[i])) {
					return math.Inf(-1)
				}
				return float64(scores[i])
			}
			return cmp.Compare(value(b), value(a))
		})
		hits := 0
		for _, i := range rest[:min(k, len(rest))] {
			if role[i] == 2 {
				hits++
			}
		}
		r, err := evaluate.Rank(t.Context(), evaluate.One(func(_ int, s []float32) { copy(s, scores) }), matrix(t, 1, n, seen...), matrix(t, 1, n, held...), k)
		require.NoError(t, err)
		require.InDelta(t, float64(hits)/float64(len(held)), r.Recall, 1e-12)
	})
}

// TestFiguresDoNotDependOnTheNumberOfCores is not parallel: it changes the number of cores of the process.
func TestFiguresDoNotDependOnTheNumberOfCores(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var pairs [][2]int32
	for range 3000 {
		pairs = append(pairs, [2]int32{random.Int32N(500), random.Int32N(80)})
	}
	held := matrix(t, 500, 80, pairs...)
	score := evaluate.One(func(u int, s []float32) {
		for i := range s {
			s[i] = float32((u*31 + i*17) % 23)
		}
	})
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	one, err := evaluate.Rank(t.Context(), score, matrix(t, 500, 80), held, 10)
	require.NoError(t, err)
	runtime.GOMAXPROCS(7)
	many, err := evaluate.Rank(t.Context(), score, matrix(t, 500, 80), held, 10)
	require.NoError(t, err)
	require.Equal(t, one, many)
}

func TestPopularityRanksByWeight(t *testing.T) {
	t.Parallel()
	m, err := als.Collect(2, 3, []als.Interaction{{User: 0, Item: 1, Weight: 5}, {User: 1, Item: 1, Weight: 1}, {User: 0, Item: 2, Weight: 4}, {User: 1, Item: 0, Weight: .5}})
	require.NoError(t, err)
	scores := make([]float32, 3)
	evaluate.Popularity(m)([]int{1}, [][]float32{scores})
	require.Equal(t, []float32{.5, 6, 4}, scores)
}

func TestFactorsScoreByInnerProduct(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, users, items := rapid.IntRange(1, 40).Draw(t, "d"), rapid.IntRange(1, 5).Draw(t, "users"), rapid.IntRange(1, 150).Draw(t, "items")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		f := als.Factors{Dimension: d, Users: make([]float32, users*d), Items: make([]float32, items*d)}
		for _, side := range [][]float32{f.Users, f.Items} {
			for k := range side {
				side[k] = float32(random.NormFloat64())
			}
		}
		batch, scores := random.Perm(users), make([][]float32, users)
		for row := range scores {
			scores[row] = make([]float32, items)
		}
		evaluate.Factors(f)(batch, scores)
		for row, u := range batch {
			for i := range items {
				var want float64
				for j := range d {
					want += float64(f.User(u)[j]) * float64(f.Item(i)[j])
				}
				require.InDelta(t, want, scores[row][i], 1e-4)
			}
		}
	})
}

func TestMetricsKeepTheirNamesInJSON(t *testing.T) {
	t.Parallel()
	m := evaluate.Metrics{K: 20, Users: 7, Recall: .25, NDCG: .125, HitRate: .5, Precision: .75, MRR: 1, Coverage: .0625, PopularityBias: 2}
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.JSONEq(t, `{"k":20,"users":7,"recall@20":0.25,"ndcg@20":0.125,"hit_rate@20":0.5,"precision@20":0.75,"mrr@20":1,"coverage@20":0.0625,"popularity_bias@20":2}`, string(text))
	var back evaluate.Metrics
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, m, back)
}

func TestComparisonIsSureOfAClearGainOnly(t *testing.T) {
	t.Parallel()
	const users = 200
	var held [][2]int32
	for u := range int32(users) {
		held = append(held, [2]int32{u, 0})
	}
	rank := func(score evaluate.Score) evaluate.Result {
		r, err := evaluate.Rank(t.Context(), score, matrix(t, users, 3), matrix(t, users, 3, held...), 1)
		require.NoError(t, err)
		return r
	}
	right := rank(evaluate.One(func(_ int, s []float32) { copy(s, []float32{1, 0, 0}) }))
	wrong := rank(evaluate.One(func(_ int, s []float32) { copy(s, []float32{0, 1, 0}) }))
	half := rank(evaluate.One(func(u int, s []float32) { copy(s, []float32{float32(u % 2), .5, 0}) }))
	otherHalf := rank(evaluate.One(func(u int, s []float32) { copy(s, []float32{float32((u + 1) % 2), .5, 0}) }))

	clear, err := evaluate.Compare(right, wrong, 1)
	require.NoError(t, err)
	require.Equal(t, evaluate.Interval{Low: 1, High: 1}, clear.RecallInterval)

	gain, err := evaluate.Compare(half, wrong, 1)
	require.NoError(t, err)
	require.InDelta(t, .5, gain.Recall, 1e-12)
	// the mean of 200 fair coins has a deviation of .0354: 95 % lie within ±.069
	require.InDelta(t, .5-.069, gain.RecallInterval.Low, .02)
	require.InDelta(t, .5+.069, gain.RecallInterval.High, .02)

	none, err := evaluate.Compare(half, otherHalf, 1)
	require.NoError(t, err)
	require.Negative(t, none.NDCGInterval.Low)
	require.Positive(t, none.NDCGInterval.High)
}

func ids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return list
}

func TestLeaveOutHoldsItsShareOfEveryUser(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pairs := rapid.SliceOf(rapid.Custom(func(t *rapid.T) evaluate.Pair {
			return evaluate.Pair{User: rapid.Int32Range(0, 5).Draw(t, "u"), Item: rapid.Int32Range(0, 9).Draw(t, "i")}
		})).Draw(t, "pairs")
		train, held := evaluate.LeaveOut(pairs, ids("u", 6), ids("i", 10), .2, "test")
		require.Len(t, append(slices.Clone(train), held...), len(pairs))
		side := map[evaluate.Pair]string{}
		inTrain, inHeld := map[int32]map[int32]bool{}, map[int32]map[int32]bool{}
		for name, list := range map[string][]int{"train": train, "held": held} {
			for _, n := range list {
				p := pairs[n]
				require.Contains(t, []string{"", name}, side[p], "a repeated pair is on both sides")
				side[p] = name
				into := inTrain
				if name == "held" {
					into = inHeld
				}
				if into[p.User] == nil {
					into[p.User] = map[int32]bool{}
				}
				into[p.User][p.Item] = true
			}
		}
		for u, items := range inTrain {
			n := len(items) + len(inHeld[u])
			if n == 1 {
				require.Empty(t, inHeld[u])
				continue
			}
			require.Equal(t, max(1, int(.2*float64(n)+.5)), len(inHeld[u]))
		}
		require.Equal(t, len(inTrain), len(side2users(side)))
	})
}

func side2users(side map[evaluate.Pair]string) map[int32]bool {
	users := map[int32]bool{}
	for p := range side {
		users[p.User] = true
	}
	return users
}

func TestLeaveOutOfAUserIsTheSameBesideNewUsersAndItems(t *testing.T) {
	t.Parallel()
	names := func(held []int, pairs []evaluate.Pair, user, item []string) (list []string) {
		for _, n := range held {
			if u := user[pairs[n].User]; u == "anna" {
				list = append(list, item[pairs[n].Item])
			}
		}
		slices.Sort(list)
		return list
	}
	var today, tomorrow []evaluate.Pair
	todayItems, tomorrowItems := ids("i", 20), append(ids("a new one ", 3), ids("i", 20)...)
	for i := range int32(20) {
		today = append(today, evaluate.Pair{User: 0, Item: i})
		tomorrow = append(tomorrow, evaluate.Pair{User: 1, Item: i + 3}, evaluate.Pair{User: 0, Item: i})
	}
	_, held := evaluate.LeaveOut(today, []string{"anna"}, todayItems, .2, "test")
	_, heldTomorrow := evaluate.LeaveOut(tomorrow, []string{"aaron", "anna"}, tomorrowItems, .2, "test")
	first := names(held, today, []string{"anna"}, todayItems)
	require.Len(t, first, 4)
	require.Equal(t, first, names(heldTomorrow, tomorrow, []string{"aaron", "anna"}, tomorrowItems))

	_, other := evaluate.LeaveOut(today, []string{"anna"}, todayItems, .2, "validation")
	require.NotEqual(t, held, other)
}

func TestByTimeLearnsNothingFromTheFuture(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pairs := rapid.SliceOf(rapid.Custom(func(t *rapid.T) evaluate.Pair {
			return evaluate.Pair{Time: rapid.Int64Range(0, 12).Draw(t, "time")}
		})).Draw(t, "pairs")
		train, held := evaluate.ByTime(pairs, .3)
		require.Len(t, append(slices.Clone(train), held...), len(pairs))
		require.LessOrEqual(t, len(held), int(.3*float64(len(pairs))+.5))
		for _, h := range held {
			for _, n := range train {
				require.Less(t, pairs[n].Time, pairs[h].Time)
			}
		}
	})
	var hundred []evaluate.Pair
	for n := range 100 {
		hundred = append(hundred, evaluate.Pair{Time: int64(1000 - n)})
	}
	_, held := evaluate.ByTime(hundred, .1)
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, held)
}

func TestAnswerableAsksForNewItemsOfKnownUsers(t *testing.T) {
	t.Parallel()
	train := matrix(t, 3, 3, [2]int32{0, 0}, [2]int32{1, 2})
	held := matrix(t, 3, 3, [2]int32{0, 0}, [2]int32{0, 1}, [2]int32{1, 2}, [2]int32{2, 1})
	require.Equal(t, matrix(t, 3, 3, [2]int32{0, 1}), evaluate.Answerable(held, train))
}
