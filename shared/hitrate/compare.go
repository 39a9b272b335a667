package hitrate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/millrace/millrace/shared/dataset"
)

// Comparison is the answer to a Question. The intervals are of 95 %.
type Comparison struct {
	From   time.Time     `json:"from"`
	To     time.Time     `json:"to"`
	Window time.Duration `json:"window_ns"`
	Arms   [2]Outcome    `json:"arms"`
	Viewed Interval      `json:"viewed_difference"` // second arm less the first
	InCart Interval      `json:"in_cart_difference"`
}

// Outcome is what came of one arm's recommendations. A recommendation, a list of five, is a hit when its user looked at one of them.
type Outcome struct {
	Name            string   `json:"name"`
	Users           int64    `json:"users"`
	Recommendations int64    `json:"recommendations"`
	Viewed          Interval `json:"viewed"`  // hits by any look, the cart included
	InCart          Interval `json:"in_cart"` // hits that lay in the cart: what comes nearest to bought in shop events
}

// Interval is a rate, or a difference of rates, with its 95 % interval.
type Interval struct {
	Rate float64 `json:"rate"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// querier is an *athena.Workgroup.
type querier interface {
	Query(ctx context.Context, query string) ([][]*string, error)
}

// ErrNothing says that an arm has nothing to compare.
var ErrNothing = errors.New("no recommendation of the period is old enough to be judged (a recommendation counts when the whole window after it has passed)")

// Compare asks Athena, once.
func Compare(ctx context.Context, athena querier, names dataset.Event, q Question) (Comparison, error) {
	if q.Window < time.Second {
		return Comparison{}, fmt.Errorf("window %s: want a second or more", q.Window)
	}
	rows, err := athena.Query(ctx, q.Query(names))
	if err != nil {
		return Comparison{}, err
	}
	if len(rows) != 1 || len(rows[0]) != len(terms) {
		return Comparison{}, fmt.Errorf("the query has answered %d rows, want one of %d sums", len(rows), len(terms))
	}
	sums := make([]float64, len(terms))
	for n, field := range rows[0] {
		if field == nil {
			continue // no user at all
		}
		if sums[n], err = strconv.ParseFloat(*field, 64); err != nil {
			return Comparison{}, fmt.Errorf("sum of %s: %w", terms[n], err)
		}
	}
	return q.comparison(sums)
}

func (q Question) comparison(sums []float64) (Comparison, error) {
	c := Comparison{From: q.From, To: q.To, Window: q.Window}
	for n, a := range q.Arms {
		c.Arms[n] = Outcome{Name: a.String(), Users: int64(sums[n]), Recommendations: int64(sums[2+n])}
		if sums[2+n] == 0 {
			return c, fmt.Errorf("%s: %w", a, ErrNothing)
		}
	}
	shared, viewed, inCart := sums[:7], sums[7:16], sums[16:]
	c.Arms[0].Viewed, c.Arms[1].Viewed, c.Viewed = rates(shared, viewed)
	c.Arms[0].InCart, c.Arms[1].InCart, c.InCart = rates(shared, inCart)
	return c, nil
}

const normal95 = 1.959964 // the standard normal distribution's 97.5 % point

// rates computes two ratios Σh/Σn and their difference. Recommendations of one user resemble each other, so users, not recommendations, are
// what was drawn: the variance is that of a ratio of sums over users (Cochran, Sampling Techniques, 3rd ed., 6.4). The interval is
// Wilson's for the number of independent recommendations that have this variance, and that of the difference combines them (Newcombe 1998,
// methods 10 of both papers) with the covariance that arises where users are in both arms: all are when replays are compared.
//
// shared are the sums users₁ users₂ n₁ n₂ n₁² n₂² n₁n₂, hits h₁ h₂ h₁² h₂² h₁n₁ h₂n₂ h₁h₂ h₁n₂ n₁h₂.
func rates(shared, hits []float64) (first, second, difference Interval) {
	n, r := shared[2:4], [2]float64{hits[0] / shared[2], hits[1] / shared[3]}
	var deviation [2]float64
	var arms [2]Interval
	for k := range arms {
		users := shared[k]
		variance := math.Inf(1) // of one user nothing can be said
		if users > 1 {
			variance = max(0, hits[2+k]-2*r[k]*hits[4+k]+r[k]*r[k]*shared[4+k]) / (n[k] * n[k]) * users / (users - 1)
		}
		deviation[k] = math.Sqrt(variance)
		independent := users // when all or none are hits: at least the users are independent
		if r[k] > 0 && r[k] < 1 {
			independent = min(n[k], max(1, r[k]*(1-r[k])/variance))
		}
		arms[k] = wilson(r[k], independent)
	}
	covariance := (hits[6] - r[1]*hits[7] - r[0]*hits[8] + r[0]*r[1]*shared[6]) / (n[0] * n[1])
	correlation := 0.0
	if spread := deviation[0] * deviation[1]; spread > 0 && !math.IsInf(spread, 1) {
		correlation = max(-1, min(1, covariance/spread))
	}
	below := func(i Interval) float64 { return i.Rate - i.Low }
	above := func(i Interval) float64 { return i.High - i.Rate }
	combine := func(x, y float64) float64 { return math.Sqrt(max(0, x*x+y*y-2*correlation*x*y)) }
	d := r[1] - r[0]
	return arms[0], arms[1], Interval{d, d - combine(below(arms[1]), above(arms[0])), d + combine(above(arms[1]), below(arms[0]))}
}

// wilson is the score interval of a rate among n independent trials.
func wilson(rate, n float64) Interval {
	const z2 = normal95 * normal95
	center := (rate + z2/(2*n)) / (1 + z2/n)
	half := normal95 / (1 + z2/n) * math.Sqrt(rate*(1-rate)/n+z2/(4*n*n))
	return Interval{rate, max(0, min(rate, center-half)), min(1, max(rate, center+half))}
}
