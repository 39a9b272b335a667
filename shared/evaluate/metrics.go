package evaluate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Metrics are means over users. In JSON they carry k in their names, as in the literature: "recall@20".
type Metrics struct {
	K       int // length of the list
	Users   int // users measured
	Recall  float64
	NDCG    float64
	HitRate float64 // share of users with at least one held-out item in the list
}

// MarshalJSON writes {"k":20,"users":…,"recall@20":…,"ndcg@20":…,"hit_rate@20":…}.
func (m Metrics) MarshalJSON() ([]byte, error) {
	var text []byte
	text = fmt.Appendf(text, `{"k":%d,"users":%d`, m.K, m.Users)
	for _, f := range []struct {
		name  string
		value float64
	}{{"recall", m.Recall}, {"ndcg", m.NDCG}, {"hit_rate", m.HitRate}} {
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, fmt.Errorf("%s@%d: %w", f.name, m.K, err)
		}
		text = fmt.Appendf(text, `,"%s@%d":%s`, f.name, m.K, value)
	}
	return append(text, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	var fields map[string]float64
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	*m = Metrics{K: int(fields["k"]), Users: int(fields["users"])}
	for name, value := range fields {
		switch strings.TrimSuffix(name, fmt.Sprintf("@%d", m.K)) {
		case "recall":
			m.Recall = value
		case "ndcg":
			m.NDCG = value
		case "hit_rate":
			m.HitRate = value
		}
	}
	return nil
}

// Result is Metrics with each user's part in them, for comparisons on the same users.
type Result struct {
	Metrics
	recall, ndcg, hit []float64
}

// Interval is a two-sided confidence interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Difference is the gain of one ranking over another on the same users, with 95 % intervals.
type Difference struct {
	Recall         float64  `json:"recall"`
	RecallInterval Interval `json:"recall_interval_95"`
	NDCG           float64  `json:"ndcg"`
	NDCGInterval   Interval `json:"ndcg_interval_95"`
}

// bootstrapSamples gives the 2.5 % points 25 samples beyond them: steady to about a tenth of the interval's width.
const bootstrapSamples = 1000

// Compare resamples users with replacement (paired bootstrap) to say how sure "a is better than b" is.
// Both results must come from the same held-out interactions.
func Compare(a, b Result, seed uint64) (Difference, error) {
	if a.K != b.K || len(a.recall) != len(b.recall) {
		return Difference{}, fmt.Errorf("evaluate: results of %d users at k=%d and %d users at k=%d cannot be compared", a.Users, a.K, b.Users, b.K)
	}
	return Difference{
		Recall: a.Recall - b.Recall, RecallInterval: bootstrap(a.recall, b.recall, seed),
		NDCG: a.NDCG - b.NDCG, NDCGInterval: bootstrap(a.ndcg, b.ndcg, seed),
	}, nil
}

func bootstrap(a, b []float64, seed uint64) Interval {
	random := rand.New(rand.NewPCG(seed, 1))
	means := make([]float64, bootstrapSamples)
	for s := range means {
		var sum float64
		for range a {
			n := random.IntN(len(a))
			sum += a[n] - b[n]
		}
		means[s] = sum / float64(len(a))
	}
	slices.Sort(means)
	return Interval{Low: means[bootstrapSamples*25/1000], High: means[bootstrapSamples*975/1000-1]}
}
