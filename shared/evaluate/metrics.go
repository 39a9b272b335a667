package evaluate

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Metrics are means over users, but Coverage and PopularityBias, which are of all lists together. In JSON they carry k in their
// names, as in the literature: "recall@20".
type Metrics struct {
	K         int // length of the list
	Users     int // users measured; of sessions: next items asked for
	Recall    float64
	NDCG      float64
	Precision float64 // hits among k, however short the list is
	MRR       float64 // 1/rank of the first hit, 0 beyond k
	HitRate   float64 // share of users with at least one held-out item in the list
	// Coverage is the share of all items that are in somebody's list.
	Coverage float64
	// PopularityBias is how many users a listed item has in the training data, on average, over how many a held-out one has:
	// 1 is as popular as what users really chose, 2 twice as popular. 0 if nobody has any held-out item.
	PopularityBias float64
}

// figure is a metric by its name in JSON.
type figure struct {
	name  string
	value *float64
}

func (m *Metrics) figures() []figure {
	return []figure{
		{"recall", &m.Recall}, {"ndcg", &m.NDCG}, {"precision", &m.Precision}, {"mrr", &m.MRR}, {"hit_rate", &m.HitRate},
		{"coverage", &m.Coverage}, {"popularity_bias", &m.PopularityBias},
	}
}

// MarshalJSON writes {"k":20,"users":…,"recall@20":…,"ndcg@20":…, …}.
func (m Metrics) MarshalJSON() ([]byte, error) {
	text := fmt.Appendf(nil, `{"k":%d,"users":%d`, m.K, m.Users)
	for _, f := range m.figures() {
		value, err := json.Marshal(*f.value)
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
		for _, f := range m.figures() {
			if f.name == strings.TrimSuffix(name, fmt.Sprintf("@%d", m.K)) {
				*f.value = value
			}
		}
	}
	return nil
}
