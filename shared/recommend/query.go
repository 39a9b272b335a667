package recommend

import (
	"slices"

	"github.com/millrace/millrace/shared/foldin"
)

// Query is what a request asks of items that are elsewhere: the best for Vector, and the nearest to Seed.
type Query struct {
	Vector []float32 // by inner product; nil: the most popular
	Hidden []int32   // positions in the whole catalog that may not be among the best
	Seed   string    // "": the first of the best
}

// Queries are those of requests. The model must have the items of their sessions.
func (m *Model) Queries(requests []Request) ([]Query, error) {
	queries := make([]Query, len(requests))
	for n, r := range requests {
		q := &queries[n]
		session := m.session(r.History)
		if prior, strategy := m.prior(r, session); strategy != Popularity {
			user, err := m.fold(prior, session)
			if err != nil {
				return nil, err
			}
			q.Vector = user.Vector
		}
		for _, row := range m.known(r.History) {
			q.Hidden = append(q.Hidden, m.ordinal(row))
		}
		if m.hideBought && r.User != nil {
			q.Hidden = append(q.Hidden, r.User.Bought...)
		}
		if len(session) > 0 {
			q.Seed = m.ids[session[foldin.Heaviest(session)].Row]
		}
		q.Hidden = slices.Compact(slices.Sorted(slices.Values(q.Hidden)))
	}
	return queries, nil
}
