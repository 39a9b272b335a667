package activemodel

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/recommend"
)

// Assignment is an event with the model that answers it.
type Assignment struct {
	Model *Model
	Event recommend.Event
}

// Assign gives each event the version of its user. Who is not logged in keeps one version for the session, and an event without either is
// its own.
func (s *Serving) Assign(events []recommend.Event) []Assignment {
	assigned := make([]Assignment, len(events))
	for n, e := range events {
		assigned[n].Event = e
		assigned[n].Model, assigned[n].Event.Variant = s.For(cmp.Or(e.Event.User, e.Session, e.ID))
	}
	return assigned
}

// byModel are the positions of each model's events, ascending.
func byModel(list []Assignment) map[*Model][]int {
	positions := map[*Model][]int{}
	for n, a := range list {
		positions[a.Model] = append(positions[a.Model], n)
	}
	return positions
}

// FindUsers asks for all users of a batch, one round trip a model.
func FindUsers(ctx context.Context, list []Assignment) error {
	for model, positions := range byModel(list) {
		ids := map[string]bool{}
		for _, n := range positions {
			if user := list[n].Event.Event.User; user != "" {
				ids[user] = true
			}
		}
		users, err := model.Users(ctx, slices.Sorted(maps.Keys(ids)))
		if err != nil {
			return err
		}
		for _, n := range positions {
			list[n].Event.User = users[list[n].Event.Event.User]
		}
	}
	return nil
}

// Records answers events in one pass over each model's items; the records are in the events' order.
func Records(ctx context.Context, list []Assignment, itemField string, now time.Time) ([]recommend.Record, error) {
	records := make([]recommend.Record, len(list))
	for model, positions := range byModel(list) {
		events := make([]recommend.Event, len(positions))
		for k, n := range positions {
			events[k] = list[n].Event
		}
		answered, err := model.Records(ctx, itemField, events, now)
		if err != nil {
			return nil, err
		}
		for k, n := range positions {
			records[n] = answered[k]
		}
	}
	return records, nil
}
