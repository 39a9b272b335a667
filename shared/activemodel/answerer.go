package activemodel

import (
	"context"

	"github.com/millrace/millrace/shared/recommend"
)

// Answerer is a version with its items, in memory or in the database (package vectorsearch).
type Answerer interface {
	// Answers recommends to several users.
	Answers(context.Context, []recommend.Request) ([]recommend.Answer, error)
	// Similar returns the items nearest to one, and its name; false if the version does not know it.
	Similar(ctx context.Context, id string, limit int) (name string, list []recommend.Near, known bool, err error)
	// Popular asks no database: it answers by popularity.
	Popular([]recommend.Request) []recommend.Answer
	// AtOnce is how many requests are best answered together.
	AtOnce() int
}

// InMemory answers from a model in memory.
func InMemory(m *recommend.Model) Answerer { return inMemory{m} }

type inMemory struct{ *recommend.Model }

func (m inMemory) Answers(_ context.Context, requests []recommend.Request) ([]recommend.Answer, error) {
	return m.Model.Answers(requests)
}

func (m inMemory) Similar(_ context.Context, id string, limit int) (string, []recommend.Near, bool, error) {
	name, _ := m.Name(id)
	list, known := m.Model.Similar(id, limit)
	return name, list, known, nil
}

// AtOnce is 32: one pass over the items for so many costs little more than one for four, and the clock is looked at in between.
func (inMemory) AtOnce() int { return 32 }
