package hitrate_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/hitrate"
)

// person is what a user was recommended and what came of it, in each arm.
type person struct{ n, viewed, inCart [2]float64 }

// answers gives the sums of people, in the order of the query's terms.
type answers []person

func (a answers) Query(context.Context, string) ([][]*string, error) {
	sum := func(term func(p person) float64) *string {
		total := 0.
		for _, p := range a {
			total += term(p)
		}
		text := fmt.Sprint(total)
		return &text
	}
	counted := func(arm int) func(person) float64 {
		return func(p person) float64 { return min(1, p.n[arm]) }
	}
	n := func(p person) [2]float64 { return p.n }
	row := []*string{
		sum(counted(0)), sum(counted(1)), sum(func(p person) float64 { return p.n[0] }), sum(func(p person) float64 { return p.n[1] }),
		sum(func(p person) float64 { return p.n[0] * p.n[0] }), sum(func(p person) float64 { return p.n[1] * p.n[1] }), sum(func(p person) float64 { return p.n[0] * p.n[1] }),
	}
	for _, h := range []func(person) [2]float64{func(p person) [2]float64 { return p.viewed }, func(p person) [2]float64 { return p.inCart }} {
		for _, pair := range []struct {
			x    func(person) [2]float64
			i    int
			y    func(person) [2]float64
			j    int
			once bool
		}{{h, 0, nil, 0, true}, {h, 1, nil, 0, true}, {h, 0, h, 0, false}, {h, 1, h, 1, false}, {h, 0, n, 0, false}, {h, 1, n, 1, false}, {h, 0, h, 1, false}, {h, 0, n, 1, false}, {n, 0, h, 1, false}} {
			row = append(row, sum(func(p person) float64 {
				if pair.once {
					return pair.x(p)[pair.i]
				}
				return pair.x(p)[pair.i] * pair.y(p)[pair.j]
			}))
		}
	}
	return [][]*string{row}, nil
}

func compare(t *testing.T, people []person) hitrate.Comparison {
	t.Helper()
	c, err := hitrate.Compare(t.Context(), answers(people), names, question())
	require.NoError(t, err)
	return c
}

func TestRatesAndTheirIntervals(t *testing.T) {
	t.Parallel()
	// A user for each recommendation: then it is Wilson's interval, and Newcombe's of a difference. Newcombe 1998 (Statistics in Medicine
	// 17, 873), table II, example (a): 56/70 and 48/80: 0.2000 (0.0524, 0.3339).
	var people []person
	for k := range 150 {
		arm := 0
		if k < 70 {
			arm = 1
		}
		var p person
		p.n[arm] = 1
		if k < 56 || k >= 70 && k < 70+48 {
			p.viewed[arm] = 1
		}
		people = append(people, p)
	}
	c := compare(t, people)
	require.EqualValues(t, []int64{80, 70}, []int64{c.Arms[0].Users, c.Arms[1].Users})
	require.InDelta(t, 0.6, c.Arms[0].Viewed.Rate, 1e-12)
	require.InDelta(t, 0.2, c.Viewed.Rate, 1e-12)
	require.InDelta(t, 0.0524, c.Viewed.Low, 0.004, "but for n/(n−1)")
	require.InDelta(t, 0.3339, c.Viewed.High, 0.004)
	require.Zero(t, c.Arms[0].InCart.Rate)
	require.InDelta(t, 0.0458, c.Arms[0].InCart.High, 0.0005, "none of 80: not [0, 0]")
}

func TestUsersInBothArmsAreComparedWithThemselves(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	var both, apart []person
	for range 400 { // what users look at differs between users, hardly between the arms
		taste := random.Float64()
		p := person{n: [2]float64{10, 10}}
		for arm := range 2 {
			p.viewed[arm] = math.Round(10 * taste)
		}
		both = append(both, p)
		for arm := range 2 {
			var half person
			half.n[arm], half.viewed[arm] = 10, p.viewed[arm]
			apart = append(apart, half)
		}
	}
	paired, independent := compare(t, both), compare(t, apart)
	require.Equal(t, independent.Arms[0].Viewed, paired.Arms[0].Viewed)
	require.Less(t, paired.Viewed.High-paired.Viewed.Low, 0.1*(independent.Viewed.High-independent.Viewed.Low))
}

// Of intervals of 95 % about 95 % must hold the truth, though a user's recommendations resemble each other.
func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	t.Parallel()
	const seed, draws, users = 11, 2000, 120
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, paired := range []bool{false, true} {
		held, heldRate := 0, 0
		for range draws {
			var people []person
			for range users {
				var p person
				taste := random.Float64() // the mean of users' rates is 0.1 and 0.15
				only := random.IntN(2)
				for arm := range 2 {
					if !paired && arm != only {
						continue
					}
					p.n[arm] = 1 + float64(random.IntN(8))
					for range int(p.n[arm]) {
						if random.Float64() < taste*[2]float64{0.2, 0.3}[arm] {
							p.viewed[arm]++
						}
					}
				}
				people = append(people, p)
			}
			c := compare(t, people)
			if c.Viewed.Low <= 0.05 && 0.05 <= c.Viewed.High {
				held++
			}
			if c.Arms[0].Viewed.Low <= 0.1 && 0.1 <= c.Arms[0].Viewed.High {
				heldRate++
			}
		}
		t.Logf("paired %v: difference %.3f, rate %.3f", paired, float64(held)/draws, float64(heldRate)/draws)
		for _, h := range []int{held, heldRate} {
			require.InDelta(t, 0.95, float64(h)/draws, 0.015)
		}
	}
}

func TestNothingToCompareIsSaid(t *testing.T) {
	t.Parallel()
	_, err := hitrate.Compare(t.Context(), answers{{n: [2]float64{1, 0}}}, names, question())
	require.ErrorIs(t, err, hitrate.ErrNothing)
	require.ErrorContains(t, err, "replay/try-1: no recommendation of the period")
	q := question()
	q.Window = time.Millisecond
	_, err = hitrate.Compare(t.Context(), answers{}, names, q)
	require.ErrorContains(t, err, "want a second or more")
	c := compare(t, []person{{n: [2]float64{3, 2}, viewed: [2]float64{1, 0}}})
	require.Equal(t, []float64{-1, 1}, []float64{math.Floor(c.Viewed.Low), math.Ceil(c.Viewed.High)}, "of one user nothing can be said")
}
