package train_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

type rating struct {
	user, item string
	weight     float64
	at         int64
}

// shop is a small shop with taste: 60 users in 4 groups buy mostly from the 8 items of their group's line.
func shop(seed uint64) []rating {
	random := rand.New(rand.NewPCG(seed, 0))
	var list []rating
	for u := range 60 {
		for n := range 12 {
			item := random.IntN(32)
			if random.Float64() < .85 {
				item = u%4*8 + random.IntN(8)
			}
			list = append(list, rating{fmt.Sprintf("user %02d", u), fmt.Sprintf("item-%02d", item), 1 + random.Float64()*4, int64(1000*n + u)})
		}
	}
	return list
}

// chance is the same shop without taste: nothing but popularity can be learned.
func chance(seed uint64) []rating {
	random := rand.New(rand.NewPCG(seed, 0))
	list := shop(seed)
	for k := range list {
		popular := random.Float64()
		list[k].item = fmt.Sprintf("item-%02d", int(32*popular*popular))
	}
	return list
}

func collect(t *testing.T, list []rating) *train.Interactions {
	t.Helper()
	x := &train.Interactions{}
	for _, r := range list {
		require.NoError(t, x.Add(r.user, r.item, r.weight))
	}
	return x
}

var quick = train.Settings{Dimension: 4, Epochs: 4, Seed: 7}

func items() (list []train.Entity) {
	for i := range 36 { // four more than have interactions, one of each line
		line := i / 8
		if i >= 32 {
			line = i - 32
		}
		list = append(list, train.Entity{ID: fmt.Sprintf("item-%02d", i), Name: fmt.Sprintf("Item №%d", i), Values: features.Record{"line": fmt.Sprint(line)}})
	}
	return list
}

func TestTasteBeatsPopularity(t *testing.T) {
	t.Parallel()
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1))}, train.Settings{Seed: 7}, nil)
	require.NoError(t, err)
	m := content.Metrics
	require.Equal(t, lake.Candidate, m.State, m.Reason)
	require.Greater(t, m.Model.NDCG, 1.5*m.Popularity.NDCG)
	require.Positive(t, m.Gain.NDCGInterval.Low)
	require.Equal(t, 10, m.Model.K, "a catalogue of 32 is measured on short lists")
	require.Equal(t, "leave_out", m.HoldOut.Method)
	require.Equal(t, m.Data.Pairs, m.HoldOut.Train+m.HoldOut.Test)

	smallest, largest := math.Inf(1), 0.
	for _, trial := range m.Trials {
		smallest, largest = min(smallest, trial.Alpha0), max(largest, trial.Alpha0)
	}
	require.GreaterOrEqual(t, math.Log10(largest/smallest), 3.5, "decades of α0 tried")
	merit := func(t trial) float64 { return math.Sqrt(t.Validation.Recall * t.Validation.NDCG) }
	best := slices.MaxFunc(m.Trials, func(a, b trial) int { return compare(merit(a), merit(b)) })
	// What chance cannot tell from the best is taken with more regularization.
	for _, trial := range m.Trials {
		if trial.Dimension == best.Dimension && trial.Alpha0 == best.Alpha0 && trial.Weights == best.Weights && trial.Lambda > best.Lambda && trial.Lambda < 5*best.Lambda && merit(trial) >= .99*merit(best) {
			best.Lambda, best.Epochs = trial.Lambda, trial.Epochs
		}
	}
	require.Equal(t, best.Alpha0, m.Settings.Alpha0)
	require.Equal(t, best.Lambda, m.Settings.Lambda)
	require.Equal(t, best.Dimension, m.Settings.Dimension)
	require.Equal(t, best.Epochs, m.Settings.Epochs)
}

func TestChanceIsRejected(t *testing.T) {
	t.Parallel()
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, chance(2))}, quick, nil)
	require.NoError(t, err)
	require.Equal(t, lake.Rejected, content.Metrics.State)
	require.Contains(t, content.Metrics.Reason, "not better than popularity: recall@10")
}

// seenBy is what a model of the list was trained on.
func seenBy(list []rating) (pairs []model.Pair) {
	for _, r := range list {
		pairs = append(pairs, model.Pair{User: r.user, Item: r.item, Weight: float32(r.weight)})
	}
	return pairs
}

func TestAModelThatIsSurelyWorseThanTheActiveOneIsRejected(t *testing.T) {
	t.Parallel()
	input := train.Input{Interactions: collect(t, shop(4)), Active: &train.Active{
		Version: "yesterday", Pairs: seenBy(shop(4)), Settings: model.Settings{Dimension: 8, Epochs: 8, Alpha0: .1, Lambda: .05},
	}}
	content, err := train.Run(t.Context(), input, train.Settings{Dimension: 1, Epochs: 2}, nil)
	require.NoError(t, err)
	m := content.Metrics
	require.Equal(t, lake.Rejected, m.State, m.Reason)
	require.Contains(t, m.Reason, "worse than the active model yesterday: recall@10")
	require.Negative(t, m.Active.Gain.NDCGInterval.High)

	// The same model again is no worse: the active one is asked without the pairs it has seen.
	input = train.Input{Interactions: collect(t, shop(4)), Active: &train.Active{
		Version: "yesterday", Pairs: append(seenBy(shop(4)), model.Pair{User: "gone", Item: "item-01", Weight: 1}),
		Settings: model.Settings{Dimension: 4, Epochs: 4, Alpha0: .1, Lambda: .05},
	}}
	content, err = train.Run(t.Context(), input, quick, nil)
	require.NoError(t, err)
	m = content.Metrics
	require.Equal(t, lake.Candidate, m.State, m.Reason)
	require.InDelta(t, m.Model.NDCG, m.Active.Model.NDCG, .1)
}

// Whoever the active model does not know, it would serve what is popular.
func TestUsersOfTodayAreServedByTheActiveModelWhatIsPopular(t *testing.T) {
	t.Parallel()
	strangers := seenBy(shop(5))
	for k := range strangers {
		strangers[k].User = "before " + strangers[k].User
	}
	input := train.Input{Interactions: collect(t, shop(5)), Active: &train.Active{
		Version: "yesterday", Pairs: strangers, Settings: model.Settings{Dimension: 8, Epochs: 8, Alpha0: .1, Lambda: .05},
	}}
	content, err := train.Run(t.Context(), input, quick, nil)
	require.NoError(t, err)
	m := content.Metrics
	require.Positive(t, m.Active.Model.NDCG)
	require.InDelta(t, m.Popularity.NDCG, m.Active.Model.NDCG, .05)
}

// Four groups of users buy from four lines; the line and the group are features.
func TestStrangersAreMeasuredByTheirFeaturesAndByWhatTheyAreFoldedInFrom(t *testing.T) {
	t.Parallel()
	users := make([]train.Entity, 60)
	for u := range users {
		users[u] = train.Entity{ID: fmt.Sprintf("user %02d", u), Values: features.Record{"group": fmt.Sprint(u % 4)}}
	}
	category := func(name string) []features.Field { return []features.Field{{Name: name, Kind: features.Category}} }
	content, err := train.Run(t.Context(), train.Input{
		Interactions: collect(t, shop(6)), Users: users, UserFields: category("group"), Items: items(), ItemFields: category("line"),
	}, train.Settings{Dimension: 8, Epochs: 6}, nil)
	require.NoError(t, err)
	c := content.Metrics.ColdStart
	require.Equal(t, 12, c.UserSide.HeldOut)
	require.Equal(t, 6, c.ItemSide.HeldOut)
	require.Greater(t, c.UserSide.FromFeatures.Model.NDCG, 1.5*c.UserSide.FromFeatures.Baseline.NDCG)
	require.Greater(t, c.UserSide.FoldedIn.Model.NDCG, 1.3*c.UserSide.FoldedIn.Baseline.NDCG)
	require.Greater(t, c.ItemSide.FromFeatures.Model.Recall, 1.5*c.ItemSide.FromFeatures.Baseline.Recall)
	require.Greater(t, c.ItemSide.FoldedIn.Model.Recall, 1.3*c.ItemSide.FoldedIn.Baseline.Recall)

	for k := range users { // features that say nothing
		users[k].Values = features.Record{"group": fmt.Sprint(k / 4 % 4)}
	}
	content, err = train.Run(t.Context(), train.Input{
		Interactions: collect(t, shop(6)), Users: users, UserFields: category("group"),
	}, train.Settings{Dimension: 8, Epochs: 6}, nil)
	require.NoError(t, err)
	c = content.Metrics.ColdStart
	require.Less(t, c.UserSide.FromFeatures.Model.NDCG, 1.4*c.UserSide.FromFeatures.Baseline.NDCG)
	require.Nil(t, c.ItemSide.FromFeatures, "no features of items")
	require.NotNil(t, c.ItemSide.FoldedIn)
}

// TestSameDataGivesTheSameModel is not parallel: it changes the number of cores of the process.
func TestSameDataGivesTheSameModelInAnyOrderOnAnyNumberOfCores(t *testing.T) {
	list := shop(3)
	input := func() train.Input {
		return train.Input{Interactions: collect(t, list), Items: items(), ItemFields: []features.Field{{Name: "line", Kind: features.Category}}}
	}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	one, err := train.Run(t.Context(), input(), quick, nil)
	require.NoError(t, err)
	runtime.GOMAXPROCS(4)
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	many, err := train.Run(t.Context(), input(), quick, nil)
	require.NoError(t, err)
	require.Equal(t, one, many)
}

func TestTestPairsDoNotInfluenceTheSettings(t *testing.T) {
	t.Parallel()
	list := shop(4)
	// The latest fifth is the test part: whatever it says, the search must go the same way.
	run := func(change func(rating) rating) []trial {
		x := &train.Interactions{}
		for _, r := range list {
			if r.at >= 10000 {
				r = change(r)
			}
			require.NoError(t, x.AddAt(r.user, r.item, r.weight, r.at))
		}
		content, err := train.Run(t.Context(), train.Input{Interactions: x}, quick, nil)
		require.NoError(t, err)
		require.Equal(t, "by_time", content.Metrics.HoldOut.Method)
		return content.Metrics.Trials
	}
	honest := run(func(r rating) rating { return r })
	changed := run(func(r rating) rating { r.item, r.weight = "item-00", 1000; return r })
	require.Equal(t, honest, changed)
}

func TestOneTimeForAllFallsBackToLeavingOut(t *testing.T) {
	t.Parallel()
	x := &train.Interactions{}
	for _, r := range shop(4) {
		require.NoError(t, x.AddAt(r.user, r.item, r.weight, 77))
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: x}, quick, nil)
	require.NoError(t, err)
	require.Equal(t, "leave_out", content.Metrics.HoldOut.Method)
	require.Contains(t, content.Metrics.HoldOut.Reason, "no user with earlier interactions")
}

func TestEveryEntityIsInTheModel(t *testing.T) {
	t.Parallel()
	users := []train.Entity{{ID: "user 00", Name: "Äpfel & Söhne"}, {ID: "aaa stranger"}}
	content, err := train.Run(t.Context(), train.Input{
		Interactions: collect(t, shop(5)), Users: users, Items: items(),
		ItemFields: []features.Field{{Name: "line", Kind: features.Category}},
	}, quick, nil)
	require.NoError(t, err)

	require.Len(t, content.Items, 36)
	require.True(t, slices.IsSortedFunc(content.Items, func(a, b entity) int { return compare(a.ID, b.ID) }))
	for line, cold := range content.Items[32:] {
		require.Equal(t, fmt.Sprintf("item-%d", 32+line), cold.ID)
		require.True(t, cold.Cold)
		require.Zero(t, cold.Bias)
		require.Equal(t, fmt.Sprintf("Item №%d", 32+line), cold.Name)
		require.Equal(t, features.Record{"line": fmt.Sprint(line)}, cold.Features)
		nearest := slices.MaxFunc(content.Items[:32], func(a, b entity) int {
			return compare(cosine(a.Embedding, cold.Embedding), cosine(b.Embedding, cold.Embedding))
		})
		require.Equal(t, fmt.Sprint(line), nearest.Features["line"], "a cold item is nearest to an item of its line")
	}
	require.Equal(t, 4, content.Metrics.ColdStart.Items)
	require.Greater(t, *content.Metrics.ColdStart.ItemsExplained, .5)
	require.Nil(t, content.Metrics.ColdStart.UsersExplained)

	require.Len(t, content.Users, 61)
	require.Equal(t, "aaa stranger", content.Users[0].ID)
	require.Equal(t, "aaa stranger", content.Users[0].Name, "without a name, the id")
	require.Equal(t, content.Encoder.MeanUser, content.Users[0].Embedding)
	require.Equal(t, "Äpfel & Söhne", content.Users[1].Name)
	require.Equal(t, 60, content.Encoder.Users)
	require.Equal(t, 32, content.Encoder.Items)

	var weight float64
	for _, r := range shop(5) {
		if r.item == "item-07" {
			weight += float64(float32(r.weight))
		}
	}
	require.InDelta(t, math.Log1p(weight), content.Items[7].Bias, 1e-5)
}

// TestServingFormulaReproducesTrainedUsers: the normal equations in encoder.json's comment, with the mean weight as unit
// and no prior, give back a trained user up to the last half-step of the items.
func TestEncoderDescribesTheTrainedLoss(t *testing.T) {
	t.Parallel()
	settings := quick
	settings.Epochs = 30 // converged: users and items answer each other
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, shop(6))}, settings, nil)
	require.NoError(t, err)
	e, d := content.Encoder, content.Encoder.Dimension
	seen, weights := content.Seen.Matrix.Row(11)
	trained := content.Users[11].Embedding
	ridge := e.Lambda * (float64(len(seen)) + e.Alpha0*float64(e.Items))
	for r := range d { // the gradient of the loss at the trained user is zero
		gradient := ridge * float64(trained[r])
		for c := range d {
			gradient += e.Alpha0 * float64(e.Gramian[r*d+c]) * float64(trained[c])
		}
		for k, i := range seen {
			v := content.Items[i].Embedding
			var x float64
			for c := range d {
				x += float64(v[c]) * float64(trained[c])
			}
			gradient += float64(weights[k]) / e.WeightUnit * (x - 1) * float64(v[r])
		}
		require.InDelta(t, 0, gradient, .02)
	}
}

func TestUnusableInputIsRefused(t *testing.T) {
	t.Parallel()
	_, err := train.Run(t.Context(), train.Input{}, quick, nil)
	require.ErrorIs(t, err, als.ErrEmpty)

	_, err = train.Run(t.Context(), train.Input{Interactions: collect(t, []rating{{"a", "1", 1, 0}, {"b", "2", 1, 0}})}, train.Settings{}, nil)
	require.ErrorIs(t, err, train.ErrTooFew)

	_, err = train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1))}, train.Settings{Dimension: 100_000}, nil)
	require.ErrorContains(t, err, "dimension 100000", "refused before the memory is asked for")
	_, err = train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1))}, train.Settings{Epochs: -5}, nil)
	require.ErrorContains(t, err, "-5 epochs")

	x := &train.Interactions{}
	require.ErrorIs(t, x.Add("", "item", 1), train.ErrNoID)
	for _, weight := range []float64{math.NaN(), -1, math.Inf(1)} {
		var bad *train.WeightError
		require.ErrorAs(t, x.Add("user", "item", weight), &bad)
	}
	require.NoError(t, x.Add("user", "item", 0))
	require.Zero(t, x.Len())

	_, err = train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1)), Users: []train.Entity{{ID: "x"}, {ID: "x"}}}, quick, nil)
	require.ErrorContains(t, err, `users: id "x" is empty or there twice`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = train.Run(ctx, train.Input{Interactions: collect(t, shop(1))}, quick, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestOneUserIsEnoughToBeMeasured(t *testing.T) {
	t.Parallel()
	x := &train.Interactions{}
	for i := range 10 {
		require.NoError(t, x.Add("only one", fmt.Sprintf("%c\"'\t ü%d", 'a'+i, i), 1))
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: x}, train.Settings{}, nil)
	require.NoError(t, err)
	require.Len(t, content.Users, 1)
	require.Contains(t, []string{lake.Candidate, lake.Rejected}, content.Metrics.State)
}

func TestBudgetEndsTheSearchAndIsRecorded(t *testing.T) {
	t.Parallel()
	minute := time.Unix(0, 0)
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1))}, train.Settings{
		TuneBudget: 5 * time.Minute, Now: func() time.Time { minute = minute.Add(time.Minute); return minute },
	}, nil)
	require.NoError(t, err)
	require.Contains(t, content.Metrics.TuningStopped, "the budget of 5m0s is spent")
	require.Len(t, content.Metrics.Trials, 6)
}

func TestProgressFollowsTheStages(t *testing.T) {
	t.Parallel()
	var stages []string
	measured, trials := 0, 0
	_, err := train.Run(t.Context(), train.Input{Interactions: collect(t, shop(1))}, quick, func(p train.Progress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
		if p.Measured != nil {
			measured++
		}
		trials = max(trials, p.Trial)
		require.LessOrEqual(t, p.Trial, p.Trials)
		require.Equal(t, 4, p.Epoch.Of)
	})
	require.NoError(t, err)
	require.Equal(t, []string{train.Tuning, train.Testing, train.Training}, stages)
	require.Equal(t, trials+1, measured)
}
