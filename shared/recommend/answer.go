package recommend

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/foldin"
)

// Strategies: what the user's vector started from.
const (
	KnownUser    = "known_user"    // the trained vector
	UserFeatures = "user_features" // a vector predicted from what is known of the user
	Session      = "session"       // the mean of all users
	Popularity   = "popularity"    // no vector: nothing is known of the user or the session
)

// User is a user of the model; Cold says that Embedding was predicted from features, not trained.
type User struct {
	Embedding []float32
	Cold      bool
}

// Request is what is known when an answer is wanted.
type Request struct {
	User     *User           // nil: not in the model
	Features features.Record // of the user, as the event tells them
	History  []event.Entry   // oldest first; items the model does not know count for nothing
	Limit    int
}

// Answer holds Limit items in each list if the model has so many beside those of the session, and beside the seed.
type Answer struct {
	Strategy string
	Items    []Item // score descending, without the session's
	Seed     string // the session's weightiest item; without a session the first of Items
	Similar  []Near // distance ascending, without the seed
}

// Item is a recommended item. Because is the item of the session with the largest part of Score; "" if none raised it.
type Item struct {
	ID, Name string
	Score    float32
	Because  string
}

// Near is an item with its cosine distance to the seed.
type Near struct {
	ID, Name string
	Distance float32
}

// Answer recommends. It fails only if the user's embedding has another dimension than the model.
func (m *Model) Answer(r Request) (Answer, error) {
	session := m.session(r.History)
	prior, strategy := m.prior(r, session)
	seen := m.known(r.History)
	a := Answer{Strategy: strategy}
	if strategy == Popularity {
		for _, s := range foldin.Best(m.catalog.Bias, r.Limit, seen) {
			a.Items = append(a.Items, m.item(s))
		}
	} else {
		user, err := m.space.Fold(prior, session)
		if err != nil {
			return Answer{}, fmt.Errorf("model %s: %w", m.Version, err)
		}
		for _, s := range m.space.Items.Top(user.Vector, r.Limit, seen) {
			item := m.item(s)
			if _, parts := user.Explain(s.Row); len(parts) > 0 {
				if largest := slices.Max(parts); largest > 0 {
					item.Because = m.catalog.IDs[session[slices.Index(parts, largest)].Row]
				}
			}
			a.Items = append(a.Items, item)
		}
	}
	switch {
	case len(session) > 0:
		a.Seed = m.catalog.IDs[session[foldin.Heaviest(session)].Row]
	case len(a.Items) > 0:
		a.Seed = a.Items[0].ID
	}
	a.Similar, _ = m.Similar(a.Seed, r.Limit)
	return a, nil
}

// prior chooses where the user's vector starts.
func (m *Model) prior(r Request, session []foldin.Weighted) ([]float32, string) {
	switch {
	case r.User != nil && !r.User.Cold:
		return r.User.Embedding, KnownUser
	case r.User != nil:
		return r.User.Embedding, UserFeatures
	case m.encoder.HasUserFeatures(r.Features):
		return m.encoder.User(r.Features), UserFeatures
	case len(session) > 0:
		return m.encoder.MeanUser, Session
	}
	return nil, Popularity
}

// Similar returns the items nearest to one; false if the model does not know it.
func (m *Model) Similar(id string, limit int) ([]Near, bool) {
	row, known := m.rows[id]
	if !known {
		return nil, false
	}
	var list []Near
	for _, s := range m.space.Items.Nearest(row, limit, []int{row}) {
		list = append(list, Near{m.catalog.IDs[s.Row], m.catalog.Names[s.Row], s.Score})
	}
	return list, true
}

// known are the rows of all items of a history, those too that are too old to weigh anything.
func (m *Model) known(history []event.Entry) []int {
	var rows []int
	for _, e := range history {
		if row, known := m.rows[e.Item]; known && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (m *Model) item(s foldin.Scored) Item {
	return Item{ID: m.catalog.IDs[s.Row], Name: m.catalog.Names[s.Row], Score: s.Score}
}
