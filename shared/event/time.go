package event

import "time"

const (
	// A clock of a browser or a till may be ahead by so much; one further ahead is wrong, and its events would be the latest for ever.
	mostAhead = 5 * time.Minute
	// What was gathered offline comes late; what is older comes from a clock that has lost its date.
	mostBehind = 30 * 24 * time.Hour
)

// HappenedAt is when an event that arrived then happened: when the shop says it did, unless its clock is clearly wrong.
func (e Event) HappenedAt(arrived time.Time) time.Time {
	if e.Time.IsZero() || e.Time.After(arrived.Add(mostAhead)) || e.Time.Before(arrived.Add(-mostBehind)) {
		return arrived
	}
	return e.Time
}
