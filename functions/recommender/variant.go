package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/recommend"
)

// assignment is an event with the model that answers it.
type assignment struct {
	model *activemodel.Model
	event recommend.Event
}

// assign gives each event the version of its user. Who is not logged in keeps one version for the session, and an event without either is
// its own.
func assign(serving *activemodel.Serving, list []shopEvent) []assignment {
	assigned := make([]assignment, len(list))
	for n, v := range list {
		model, variant := serving.For(cmp.Or(v.event.User, v.event.Session, v.id))
		assigned[n] = assignment{model, recommend.Event{Event: v.event, ID: v.id, Variant: variant}}
	}
	return assigned
}

// byModel are the positions of each model's events, ascending.
func byModel(list []assignment) map[*activemodel.Model][]int {
	positions := map[*activemodel.Model][]int{}
	for n, a := range list {
		positions[a.model] = append(positions[a.model], n)
	}
	return positions
}

// findUsers asks for all users of a batch, one round trip a model.
func findUsers(ctx context.Context, list []assignment) error {
	for model, positions := range byModel(list) {
		ids := map[string]bool{}
		for _, n := range positions {
			if user := list[n].event.Event.User; user != "" {
				ids[user] = true
			}
		}
		users, err := model.Users(ctx, slices.Sorted(maps.Keys(ids)))
		if err != nil {
			return err
		}
		for _, n := range positions {
			list[n].event.User = users[list[n].event.Event.User]
		}
	}
	return nil
}

// answerPart answers events in one pass over each model's items; the records are in the events' order.
func answerPart(ctx context.Context, list []assignment, itemField string, now time.Time) ([]recommend.Record, error) {
	records := make([]recommend.Record, len(list))
	for model, positions := range byModel(list) {
		events := make([]recommend.Event, len(positions))
		for k, n := range positions {
			events[k] = list[n].event
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
