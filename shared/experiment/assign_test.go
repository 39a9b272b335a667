package experiment_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/experiment"
)

// ids are what user ids look like: numbers in a row, padded ones, text.
var ids = map[string]func(int) string{
	"numbers in a row": func(n int) string { return fmt.Sprint(n) },
	"padded":           func(n int) string { return fmt.Sprintf("%012d", n*8) },
	"addresses":        func(n int) string { return fmt.Sprintf("user-%d@example.org", n) },
}

func TestUsersAreSpreadUniformly(t *testing.T) {
	t.Parallel()
	const users, cells = 100_000, 100
	for name, id := range ids {
		for _, n := range []int64{1, 2, 3} {
			var counts [cells]float64
			for u := range users {
				counts[int(experiment.Point(n, id(u))*cells)]++
			}
			chi2 := 0.0
			for _, c := range counts {
				chi2 += (c - users/cells) * (c - users/cells) / (users / cells)
			}
			// 99 degrees of freedom: a uniform hash is above 158 once in 10,000 times. Nothing here is random, so it is never.
			require.Less(t, chi2, 158.0, "%s, experiment %d", name, n)
		}
	}
}

func TestTheNextExperimentDrawsAgain(t *testing.T) {
	t.Parallel()
	const users = 100_000
	both := 0
	for u := range users {
		if experiment.Assign(1, fmt.Sprint(u), .5) == experiment.Treatment && experiment.Assign(2, fmt.Sprint(u), .5) == experiment.Treatment {
			both++
		}
	}
	require.InDelta(t, users/4, both, 4*math.Sqrt(users*3./16), "independent of the first: a quarter is in both treatments")
}

func TestAWeightIsTheShareOfUsers(t *testing.T) {
	t.Parallel()
	const users = 100_000
	for _, weight := range []float64{.01, .1, .5, .9} {
		treated := 0.
		for u := range users {
			if experiment.Assign(7, fmt.Sprint(u), weight) == experiment.Treatment {
				treated++
			}
		}
		require.InDelta(t, weight*users, treated, 4*math.Sqrt(users*weight*(1-weight)))
	}
}

func TestAChangeOfWeightMovesOnlyTheUsersThatMustMove(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, user := rapid.Int64().Draw(t, "experiment"), rapid.String().Draw(t, "user")
		less := rapid.Float64Range(0, 1).Draw(t, "weight")
		more := rapid.Float64Range(less, 1).Draw(t, "greater weight")
		before, after := experiment.Assign(n, user, less), experiment.Assign(n, user, more)
		point := experiment.Point(n, user)
		require.Equal(t, less <= point && point < more, before != after, "exactly those between the weights")
		require.False(t, before == experiment.Treatment && after == experiment.Control, "nobody leaves a treatment that grows")
		require.Equal(t, experiment.Control, experiment.Assign(n, user, 0))
		require.Equal(t, experiment.Treatment, experiment.Assign(n, user, 1))
		require.Equal(t, before, experiment.Assign(n, user, less), "the same again")
	})
}

func TestTheAssignmentIsPublicAndNeverChanges(t *testing.T) {
	t.Parallel()
	// printf '1:103' | sha256sum | cut -c1-16; anybody can say which variant a user had.
	require.InDelta(t, float64(0x29b013c37330ecea)/math.Ldexp(1, 64), experiment.Point(1, "103"), 1e-15)
}
