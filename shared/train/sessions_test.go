package train_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/train"
)

func readSessions(t *testing.T, lines []string) *train.Interactions {
	t.Helper()
	x, err := train.ReadSessions(write(t, "sessions.txt", strings.Join(lines, "\n")+"\n"))
	require.NoError(t, err)
	return x
}

// strolls are sessions that visit one shelf, then another: what comes next is of the shelf of the latest item.
func strolls(seed uint64, n int) (lines []string) {
	random := rand.New(rand.NewPCG(seed, 0))
	for range n {
		var items []string
		for _, shelf := range random.Perm(12)[:2] {
			for range 3 {
				items = append(items, fmt.Sprintf("item-%02d-%d", shelf, random.IntN(8)))
			}
		}
		lines = append(lines, strings.Join(items, " "))
	}
	return lines
}

var walk = train.Settings{Dimension: 12, Epochs: 4, K: 5}

func TestSessionsAreTunedForTheirNextItem(t *testing.T) {
	t.Parallel()
	content, err := train.Run(t.Context(), train.Input{Interactions: readSessions(t, strolls(1, 1500))}, walk, nil)
	require.NoError(t, err)
	m := content.Metrics
	require.Equal(t, lake.Candidate, m.State, m.Reason)
	require.Equal(t, "next_item", m.HoldOut.Method)
	require.Equal(t, 150*5, m.HoldOut.Test)
	require.Greater(t, m.Model.HitRate, 3*m.Popularity.HitRate)
	require.Less(t, m.Settings.Decay, 1.0, "the shelf before last says nothing of the next item")
	require.Positive(t, m.Settings.Decay)
	require.Equal(t, m.Settings.Decay, content.Encoder.Decay)
	require.Equal(t, m.Settings.Blend, content.Encoder.Blend)
	require.Equal(t, m.Settings.Blend > 0, content.Cooccurrences != nil)
	require.Empty(t, content.Users, "nobody comes back as the session they were")
	blends := map[float64]float64{}
	for _, trial := range m.Trials {
		blends[trial.Blend] = max(blends[trial.Blend], trial.Validation.MRR)
	}
	require.Greater(t, len(blends), 4)
	require.NotEqual(t, blends[0], blends[1], "co-occurrences change the ranking")
	require.NotEqual(t, blends[1], blends[3])
}

// Two random items a session: only who has seen the very session could know the second.
func TestSettingsOfSessionsAreChosenOnSessionsThatWereNotLearned(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 0))
	var lines []string
	for range 1000 {
		lines = append(lines, fmt.Sprintf("i%d i%d", random.IntN(300), random.IntN(300)))
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: readSessions(t, lines)}, train.Settings{Dimension: 64, Epochs: 3, K: 5}, nil)
	require.NoError(t, err)
	for _, trial := range content.Metrics.Trials {
		require.Less(t, trial.Validation.HitRate, .2, "%+v", trial)
	}
	require.Less(t, content.Metrics.Model.HitRate, .2)

	// And the test part changes nothing in the trials.
	copy(lines[900:], strolls(3, 100))
	for k := range 900 {
		lines[k] += "\n" // empty lines are no sessions
	}
	for _, more := range []string{"i1 i2", "i3 i4"} {
		lines[999] = more
		again, err := train.Run(t.Context(), train.Input{Interactions: readSessions(t, lines)}, train.Settings{Dimension: 4, Epochs: 1, K: 5}, nil)
		require.NoError(t, err)
		require.Equal(t, 1000, again.Metrics.Data.Users)
	}
}

func TestAPublishedModelOfSessionsFindsTheNextItem(t *testing.T) {
	t.Parallel()
	content, err := train.Run(t.Context(), train.Input{Interactions: readSessions(t, strolls(1, 1500))}, walk, nil)
	require.NoError(t, err)
	measure := func(content model.Content, questions ...train.Question) train.SessionMeasurement {
		store := lake.NewDirectory(t.TempDir())
		_, _, err := model.Write(t.Context(), model.Destination{Store: store}, content)
		require.NoError(t, err)
		a, err := model.Open(t.Context(), store, model.ManifestFile)
		require.NoError(t, err)
		m, err := train.MeasureSessions(t.Context(), a, questions, 8)
		require.NoError(t, err)
		return m
	}
	var questions []train.Question
	for _, line := range strolls(9, 200) {
		items := strings.Fields(line)
		questions = append(questions, train.Question{Prefix: append([]string{"nobody knows it"}, items[:5]...), Next: items[5]})
	}
	m := measure(content, questions...)
	require.Greater(t, m.Model.HitRate, .7)
	require.Less(t, m.Popularity.HitRate, .3)
	even := content
	even.Encoder.Decay = 1
	require.Less(t, measure(even, questions...).Model.MRR, m.Model.MRR-.02, "the decay is the encoder's")

	seen := train.Question{Prefix: []string{"item-01-1", "item-01-2"}, Next: "item-01-2"}
	if content.Encoder.Blend > 0 {
		require.Equal(t, 1.0, measure(content, seen).Model.HitRate, "what was looked at can come next again")
	}
	strange := measure(content, questions[0], train.Question{Prefix: questions[0].Prefix, Next: "new"})
	require.Equal(t, 1, strange.UnknownNext)
	require.LessOrEqual(t, strange.Model.HitRate, .5)
}

func TestUnevenWeightsAreCountedAsValidationSays(t *testing.T) {
	t.Parallel()
	list := shop(7)
	random := rand.New(rand.NewPCG(7, 1))
	for k := range list {
		list[k].weight = 1
		if k%6 == 0 { // now and then somebody buys a thousand of anything
			list[k].item, list[k].weight = fmt.Sprintf("item-%02d", random.IntN(32)), 1000
		}
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, list)}, quick, nil)
	require.NoError(t, err)
	tried := map[string]float64{}
	for _, trial := range content.Metrics.Trials {
		tried[trial.Weights] = max(tried[trial.Weights], trial.Validation.NDCG)
	}
	require.Len(t, tried, 3)
	require.NotEqual(t, tried[train.Logarithmic], tried[train.Equal])
	require.NotEqual(t, train.Linear, content.Metrics.Settings.Weights)
	require.Less(t, content.Metrics.Settings.WeightUnit, 3.0, "the mean of the weights as they are counted")
}

func TestDimensionsAreDoubledUntilTheOneAskedFor(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 0))
	var list []rating
	for u := range 150 {
		for range 10 {
			list = append(list, rating{fmt.Sprintf("u%d", u), fmt.Sprintf("i%d", u%10*12+random.IntN(12)), 1, 0})
		}
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, list)}, train.Settings{Dimension: 100, Epochs: 2}, nil)
	require.NoError(t, err)
	require.Equal(t, 100, content.Metrics.Settings.Dimension)
	lambdas := map[int]map[float64]bool{}
	for _, trial := range content.Metrics.Trials {
		if lambdas[trial.Dimension] == nil {
			lambdas[trial.Dimension] = map[float64]bool{}
		}
		lambdas[trial.Dimension][trial.Lambda] = true
	}
	require.Len(t, lambdas, 3, "32, 64, 100")
	for _, d := range []int{64, 100} {
		require.Greater(t, len(lambdas[d]), 1, "λ is climbed along at d = %d", d)
	}
}
