package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/recommend"
)

// patience is how long an event waits for the database. Restarts and failovers are over sooner, and a recommendation that is later is hardly
// one. What has waited so long is answered by popularity, from the cached model.
const patience = 10 * time.Minute

const notRecorded = "answered by popularity, because the database could not be reached: send it again (millrace redrive) to record what the user did"

// lastResort answers what has waited too long for the database. Such an event counts as processed only because nothing of it is lost: what
// its user did is kept aside, under its event_id, and recorded when it is sent again. What an operator sends again waits.
// It returns the positions of the events without an answer, ascending, and why.
func (r *recommender) lastResort(ctx context.Context, valid []shopEvent, down error) (failed []int, err error) {
	serving := r.models.LastServing()
	var list []shopEvent
	for _, v := range valid {
		if serving == nil || v.redrive != "" || r.now().Sub(v.arrived) < patience {
			break
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return []int{0}, down
	}
	var aside []rejection
	for _, v := range list {
		if v.event.User != "" {
			aside = append(aside, rejection{v.origin, notRecorded})
		}
	}
	retry, err := r.putAllAside(ctx, aside, math.MaxInt)
	down = errors.Join(down, err)
	list = slices.DeleteFunc(list, func(v shopEvent) bool { return v.record >= retry }) // of what is not kept aside nothing is done
	if len(list) == 0 {
		return []int{0}, down
	}
	lines := make([][]byte, len(list))
	for n, v := range list {
		if lines[n], err = r.popular(serving, v); err != nil {
			return []int{0}, errors.Join(down, err)
		}
	}
	failed, err = r.records.Write(ctx, lines)
	r.count(map[string]int{recommend.Popularity: len(lines)}, len(failed))
	slog.ErrorContext(ctx, "the database does not answer: recommended what is popular", "events", len(lines), "error", down)
	if len(list) < len(valid) {
		failed = append(failed, len(list))
	}
	if len(failed) == 0 {
		return nil, nil
	}
	return failed, errors.Join(down, err)
}

func (r *recommender) popular(serving *activemodel.Serving, v shopEvent) ([]byte, error) {
	a := serving.Assign(answerable([]shopEvent{v}))[0]
	events := []recommend.Event{a.Event}
	records, err := recommend.Records(a.Model.Version, r.names.Item, events, a.Model.Popular(recommend.Requests(events)), r.now())
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", v.id, err)
	}
	return records[0].Line, nil
}
