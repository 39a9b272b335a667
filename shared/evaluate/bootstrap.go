package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Interval is a two-sided confidence interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Confidence holds the 95 % intervals of a result.
type Confidence struct {
	Recall Interval `json:"recall"`
	NDCG   Interval `json:"ndcg"`
	MRR    Interval `json:"mrr"`
}

// Confidence resamples users with replacement (bootstrap) to say how sure the figures are.
func (r Result) Confidence(seed uint64) Confidence {
	of := func(value func(figures) float64) Interval { return bootstrap(r.users, nil, value, seed) }
	return Confidence{Recall: of(figures.getRecall), NDCG: of(figures.getNDCG), MRR: of(figures.getMRR)}
}

// Difference is the gain of one ranking over another on the same users, with 95 % intervals.
type Difference struct {
	Recall         float64  `json:"recall"`
	RecallInterval Interval `json:"recall_interval_95"`
	NDCG           float64  `json:"ndcg"`
	NDCGInterval   Interval `json:"ndcg_interval_95"`
}

// Compare resamples users with replacement (paired bootstrap) to say how sure "a is better than b" is.
// Both results must come from the same held-out interactions.
func Compare(a, b Result, seed uint64) (Difference, error) {
	if a.K != b.K || len(a.users) != len(b.users) {
		return Difference{}, fmt.Errorf("evaluate: results of %d users at k=%d and %d users at k=%d cannot be compared", a.Users, a.K, b.Users, b.K)
	}
	return Difference{
		Recall: a.Recall - b.Recall, RecallInterval: bootstrap(a.users, b.users, figures.getRecall, seed),
		NDCG: a.NDCG - b.NDCG, NDCGInterval: bootstrap(a.users, b.users, figures.getNDCG, seed),
	}, nil
}

// bootstrapSamples gives the 2.5 % points 25 samples beyond them: steady to about a tenth of the interval's width.
const bootstrapSamples = 1000

// bootstrap is the interval of the mean of a's value, less b's if there is a b.
func bootstrap(a, b []figures, value func(figures) float64, seed uint64) Interval {
	each := make([]float64, len(a))
	for n := range a {
		each[n] = value(a[n])
		if b != nil {
			each[n] -= value(b[n])
		}
	}
	random := rand.New(rand.NewPCG(seed, 1))
	means := make([]float64, bootstrapSamples)
	for s := range means {
		var sum float64
		for range each {
			sum += each[random.IntN(len(each))]
		}
		means[s] = sum / float64(len(each))
	}
	slices.Sort(means)
	return Interval{Low: means[bootstrapSamples*25/1000], High: means[bootstrapSamples*975/1000-1]}
}
