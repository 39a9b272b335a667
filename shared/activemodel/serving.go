package activemodel

import (
	"context"

	"github.com/millrace/millrace/shared/vectorstore"
)

// Serving is what answers at one moment: the active version, or the two of an experiment. Whoever asks once for a batch answers each user
// of it from one version.
type Serving struct {
	now    vectorstore.Serving
	models map[vectorstore.Reference]*Model
}

// Alone is one model that serves everybody, whatever the database says.
func Alone(m *Model) *Serving {
	r := vectorstore.Reference{Version: m.Version}
	return &Serving{vectorstore.Serving{Active: r}, map[vectorstore.Reference]*Model{r: m}}
}

// For is the model that a user gets, and what it is to the experiment: experiment.Active, Control or Treatment.
func (s *Serving) For(user string) (*Model, string) {
	reference, variant := s.now.Variant(user)
	return s.models[reference], variant
}

// Default answers what is about no user: the control in an experiment.
func (s *Serving) Default() *Model { return s.models[s.now.Versions()[0]] }

// Serving resolves what serves, in one short query, and reads the versions that are new; the two of an experiment share the budget.
// Errors: vectorstore.ErrNoModel.
func (c *Cache) Serving(ctx context.Context) (*Serving, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.store.Serving(ctx)
	if err != nil {
		return nil, err
	}
	last := c.last.Load()
	if last != nil && last.now == now {
		return last, nil
	}
	next := &Serving{now, map[vectorstore.Reference]*Model{}}
	versions := now.Versions()
	for _, reference := range versions {
		if last != nil && len(last.models) == len(versions) {
			next.models[reference] = last.models[reference]
		}
		if next.models[reference] == nil {
			if next.models[reference], err = c.read(ctx, reference, c.budget/int64(len(versions))); err != nil {
				return nil, err
			}
		}
	}
	c.last.Store(next)
	return next, nil
}

// LastServing is what Serving returned last, without asking the database; nil if there was nothing.
func (c *Cache) LastServing() *Serving { return c.last.Load() }

// Last is the default of what Serving returned last, without asking the database; nil if there was none.
func (c *Cache) Last() *Model {
	if last := c.last.Load(); last != nil {
		return last.Default()
	}
	return nil
}
