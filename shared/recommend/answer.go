package recommend

import (
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/foldin"
	"github.com/millrace/millrace/shared/topk"
)

// Strategies: what the user's vector started from.
const (
	KnownUser    = "known_user"    // the trained vector
	UserFeatures = "user_features" // a vector predicted from what is known of the user
	Session      = "session"       // the mean of all users
	Popularity   = "popularity"    // no vector: nothing is known of the user or the session
)

// What mattered most for an item: the largest part of its score (foldin.User.Explain). KnownUser, UserFeatures and Popularity stand for
// what the user's vector started from, which the session did not outweigh.
const (
	OneOfSession = "session"  // an item of the session, which Because names
	MeanUser     = "everyone" // what users like on average
)

// User is a user of the model; Cold says that Embedding was predicted from features, not trained.
type User struct {
	Embedding []float32
	Cold      bool
	Bought    []int32 // positions in the whole catalog, ascending: the user's interactions in training
}

// Request is what is known when an answer is wanted.
type Request struct {
	User     *User           // nil: not in the model
	Features features.Record // of the user, as the event tells them
	History  []event.Entry   // oldest first; items the model does not know count for nothing
	Limit    int
}

// Answer holds Limit items in each list if so many may be in it: beside those of the session, and beside the seed.
type Answer struct {
	Strategy string
	Items    []Item // score descending, without the session's
	Seed     string // the session's weightiest item; without a session the first of Items
	Similar  []Near // distance ascending, without the seed
}

// Item is a recommended item. Why says what mattered most for it, Because names the item of the session if it was one.
type Item struct {
	ID, Name string
	Score    float32
	Why      string
	Because  string

	BecauseName string
}

// Near is an item with its cosine distance to the seed.
type Near struct {
	ID, Name string
	Distance float32
}

// Answer recommends. It fails only if the user's embedding has another dimension than the model, or numbers that overflow.
func (m *Model) Answer(r Request) (Answer, error) {
	answers, err := m.Answers([]Request{r})
	if err != nil {
		return Answer{}, err
	}
	return answers[0], nil
}

// Answers recommends to several users in one pass over the items, with the same result as one after the other but for rounding.
func (m *Model) Answers(requests []Request) ([]Answer, error) {
	answers := make([]Answer, len(requests))
	sessions := make([][]foldin.Weighted, len(requests))
	var folded []int // positions of those with a vector
	var users []*foldin.User
	var choices []foldin.Choice
	for n, r := range requests {
		sessions[n] = m.session(r.History)
		prior, strategy := m.prior(r, sessions[n])
		answers[n].Strategy = strategy
		if strategy == Popularity {
			answers[n].Items = m.popular(m.choice(r))
			continue
		}
		user, err := m.fold(prior, sessions[n])
		if err != nil {
			return nil, err
		}
		folded, users, choices = append(folded, n), append(users, user), append(choices, m.choice(r))
	}
	for k, list := range m.space.Top(users, choices) {
		a := &answers[folded[k]]
		a.Items = make([]Item, len(list))
		for i, s := range list {
			a.Items[i] = m.explained(s, users[k], sessions[folded[k]], a.Strategy)
		}
	}
	m.addSimilar(requests, sessions, answers)
	return answers, nil
}

func (m *Model) fold(prior []float32, session []foldin.Weighted) (*foldin.User, error) {
	user, err := m.space.Fold(prior, session)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Version, err)
	}
	return user, nil
}

// addSimilar completes answers with their seeds and what is similar to them.
func (m *Model) addSimilar(requests []Request, sessions [][]foldin.Weighted, answers []Answer) {
	seeds := make([]string, len(requests))
	for n := range answers {
		a := &answers[n]
		switch {
		case len(sessions[n]) > 0:
			a.Seed = m.ids[sessions[n][foldin.Heaviest(sessions[n])].Row]
		case len(a.Items) > 0:
			a.Seed = a.Items[0].ID
		}
		seeds[n] = a.Seed
	}
	m.findSimilar(seeds)
	for n := range answers {
		answers[n].Similar, _ = m.Similar(seeds[n], requests[n].Limit)
	}
}

// Popular answers by popularity, whatever is known of anybody: what is left when the database that knows users is down.
func (m *Model) Popular(requests []Request) []Answer {
	answers, sessions := make([]Answer, len(requests)), make([][]foldin.Weighted, len(requests))
	for n, r := range requests {
		r.User = nil
		sessions[n] = m.session(r.History)
		answers[n] = Answer{Strategy: Popularity, Items: m.popular(m.choice(r))}
	}
	m.addSimilar(requests, sessions, answers)
	return answers
}

func (m *Model) popular(c foldin.Choice) (items []Item) {
	for _, s := range foldin.Best(m.bias, c) {
		items = append(items, Item{ID: m.ids[s.Row], Name: m.names[s.Row], Score: s.Score, Why: Popularity})
	}
	return items
}

// explained names the largest part of the item's score.
func (m *Model) explained(s topk.Scored, user *foldin.User, session []foldin.Weighted, strategy string) Item {
	item := Item{ID: m.ids[s.Row], Name: m.names[s.Row], Score: s.Score, Why: strategy}
	if strategy == Session {
		item.Why = MeanUser
	}
	prior, parts := user.Explain(s.Row)
	if len(parts) == 0 {
		return item
	}
	if largest := slices.Max(parts); largest > 0 && largest > prior {
		row := session[slices.Index(parts, largest)].Row
		item.Why, item.Because, item.BecauseName = OneOfSession, m.ids[row], m.names[row]
	}
	return item
}

// choice leaves out what is in the session, what the user has bought and what is sold out, as the dataset says.
func (m *Model) choice(r Request) foldin.Choice {
	seen := m.known(r.History)
	var bought []int32
	if m.hideBought && r.User != nil {
		bought = r.User.Bought
	}
	return foldin.Choice{
		Limit: r.Limit, Category: m.category, PerCategory: m.perCategory,
		Accept: func(row int) bool {
			if m.soldOut != nil && m.soldOut[row] {
				return false
			}
			if _, found := slices.BinarySearch(seen, row); found {
				return false
			}
			_, found := slices.BinarySearch(bought, m.ordinal(row))
			return !found
		},
	}
}

// ordinal is a row's position in the whole catalog.
func (m *Model) ordinal(row int) int32 {
	if m.ordinals == nil {
		return int32(row)
	}
	return m.ordinals[row]
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

// Similar returns the items nearest to one, without those sold out; false if the model does not know it.
func (m *Model) Similar(id string, limit int) ([]Near, bool) {
	row, known := m.rows[id]
	if !known {
		return nil, false
	}
	if limit > ListLength {
		return m.nearest([]int{row}, limit)[0], true
	}
	m.findSimilar([]string{id})
	list := *m.similar[row].Load()
	return list[:min(max(0, limit), len(list))], true
}

// findSimilar keeps what is similar to the items, those that nobody has asked about yet in one pass: a version never changes, and most
// events ask about few items.
func (m *Model) findSimilar(ids []string) {
	var rows []int
	for _, id := range ids {
		if row, known := m.rows[id]; known && m.similar[row].Load() == nil && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	for n, list := range m.nearest(rows, ListLength) {
		m.similar[rows[n]].Store(&list)
	}
}

func (m *Model) nearest(rows []int, limit int) [][]Near {
	choices := make([]foldin.Choice, len(rows))
	for n, row := range rows {
		choices[n] = foldin.Choice{Limit: limit, Accept: func(other int) bool { return other != row && (m.soldOut == nil || !m.soldOut[other]) }}
	}
	lists := make([][]Near, len(rows))
	for n, found := range m.space.Nearest(rows, choices) {
		lists[n] = make([]Near, len(found))
		for k, s := range found {
			lists[n][k] = Near{m.ids[s.Row], m.names[s.Row], s.Score}
		}
	}
	return lists
}

// sessionAge is how long what was looked at is not recommended: the session of a day before may be gone on with.
const sessionAge = 24 * time.Hour

// known are the rows of all items of today's history, ascending, those too that are too far back to weigh anything.
func (m *Model) known(history []event.Entry) []int {
	rows := make([]int, 0, len(history))
	for _, e := range history {
		if row, known := m.rows[e.Item]; known && e.Age < sessionAge {
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	return rows
}
