// Package chaos proves what the stream promises, in the manner of Jepsen (https://jepsen.io): a producer writes down what was acknowledged,
// a nemesis does what machines and networks do, and a checker that knows nothing of either compares what was acknowledged with what is there.
package chaos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/local/awsfake"
)

// Sent is an acknowledged event.
type Sent struct {
	ID    string // <shard>:<sequence number>
	N     int    // unique, and in the event's field "n"
	User  string // "" if the event has none
	Valid bool

	Session  string
	Items    string    // each as its id, its quantity and whether it is in the cart, oldest first, with ", " between
	From, To time.Time // it arrived in between
}

// Activation is when a model version became active: the call that did it had returned.
type Activation struct {
	Version string
	At      time.Time
}

// Remembered is a row of a user's activity.
type Remembered struct {
	User, EventID, Session string
	At                     time.Time
	Items                  string // as in Sent
}

// clock is how far a time of arrival may be off: events have it in milliseconds, as a fraction of a second.
const clock = 2 * time.Millisecond

func (r Remembered) is(s Sent) bool {
	return r.User == s.User && r.Session == s.Session && r.Items == s.Items && !r.At.Before(s.From.Add(-clock)) && !r.At.After(s.To.Add(clock))
}

// Outcome is all that is left when everything has come to rest.
type Outcome struct {
	Sent        []Sent
	Lines       []awsfake.Line
	Quarantine  map[string][]byte
	Activity    []Remembered
	Activations []Activation // in their order
	Invocations map[string]time.Time
	Unfinished  int // records that the mapping still has
	GivenUp     int // records that it gave up
}

// Verdict counts broken promises; all are 0 if none is.
type Verdict struct {
	Lost       int // acknowledged, and not answered, remembered or put aside
	Phantom    int // answered, remembered or put aside, and never acknowledged so
	Duplicates int // there under an event_id that is not its own, remembered twice, or recommended to in two ways by one model and strategy
	Mixed      int // invocations that answered by more than one model version
	Regressed  int // invocations that answered by a version that was not active any more when they began
	Stuck      int // records that are neither done nor will be
	Examples   []string
}

// Broken says whether any promise is.
func (v Verdict) Broken() bool {
	return v.Lost+v.Phantom+v.Duplicates+v.Mixed+v.Regressed+v.Stuck > 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("lost=%d phantom=%d duplicates=%d mixed=%d regressed=%d stuck=%d", v.Lost, v.Phantom, v.Duplicates, v.Mixed, v.Regressed, v.Stuck)
}

func (v *Verdict) blame(count *int, format string, args ...any) {
	*count++
	if len(v.Examples) < 20 {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// line is what is read of a record in the lake.
type line struct {
	EventID          string `json:"event_id"`
	RecommendationID string `json:"recommendation_id"`
	ModelVersion     string `json:"model_version"`
	Strategy         string `json:"strategy"`
	N                *int   `json:"n"`
	RecommendedItems []any  `json:"recommended_items"`
}

// Check compares.
func Check(o Outcome) (v Verdict) {
	sent := make(map[string]Sent, len(o.Sent))
	for _, s := range o.Sent {
		sent[s.ID] = s
	}
	v.checkLines(o)
	remembered := map[string]bool{}
	for _, r := range o.Activity {
		s, known := sent[r.EventID]
		if !known || !s.Valid || s.User == "" || !r.is(s) {
			v.blame(&v.Phantom, "an event is remembered as %+v, which was sent as %+v", r, s)
		}
		if remembered[r.EventID] {
			v.blame(&v.Duplicates, "event %s is remembered twice", r.EventID)
		}
		remembered[r.EventID] = true
	}
	aside := map[string]bool{}
	for key, body := range o.Quarantine {
		var file struct {
			EventID string `json:"event_id"`
		}
		if err := json.Unmarshal(body, &file); err != nil {
			v.blame(&v.Phantom, "quarantine %s is no JSON: %v", key, err)
		}
		if s, known := sent[file.EventID]; !known || s.Valid {
			v.blame(&v.Phantom, "event %q is put aside at %s, sent as %+v", file.EventID, key, s)
		}
		aside[file.EventID] = true
	}
	for _, s := range o.Sent {
		switch {
		case s.Valid && s.User != "" && !remembered[s.ID]:
			v.blame(&v.Lost, "event %s of user %s is not remembered", s.ID, s.User)
		case !s.Valid && !aside[s.ID]:
			v.blame(&v.Lost, "bad event %s is not in quarantine", s.ID)
		}
	}
	if v.Stuck = o.Unfinished + o.GivenUp; v.Stuck > 0 {
		v.Examples = append(v.Examples, fmt.Sprintf("%d records unfinished, %d given up", o.Unfinished, o.GivenUp))
	}
	return v
}

func (v *Verdict) checkLines(o Outcome) {
	byN := make(map[int]Sent, len(o.Sent))
	for _, s := range o.Sent {
		byN[s.N] = s
	}
	order := map[string]int{}
	for n, a := range o.Activations {
		order[a.Version] = n
	}
	answers := map[string]string{}  // recommendation id by event, version and strategy
	versions := map[string]string{} // by invocation
	blamed := map[string]bool{}     // invocations
	answered := map[string]bool{}   // event ids
	for _, l := range o.Lines {
		var r line
		if err := json.Unmarshal(l.Text, &r); err != nil || !strings.HasSuffix(string(l.Text), "}\n") {
			v.blame(&v.Phantom, "a line in the lake is no record: %.80q", l.Text)
			continue
		}
		var s Sent
		known := false
		if r.N != nil {
			s, known = byN[*r.N]
		}
		if !known || !s.Valid || len(r.RecommendedItems) == 0 {
			v.blame(&v.Phantom, "record of event %s was sent as %+v: %.200s", r.EventID, s, l.Text)
			continue
		}
		if s.ID != r.EventID {
			v.blame(&v.Duplicates, "event %s is there as %s", s.ID, r.EventID)
			continue
		}
		answered[r.EventID] = true
		if key := r.EventID + " " + r.ModelVersion + " " + r.Strategy; answers[key] == "" {
			answers[key] = r.RecommendationID
		} else if answers[key] != r.RecommendationID {
			v.blame(&v.Duplicates, "event %s was recommended to as %s and as %s by one model", r.EventID, answers[key], r.RecommendationID)
		}
		if blamed[l.Invocation] {
			continue
		}
		if first, again := versions[l.Invocation]; again && first != r.ModelVersion {
			blamed[l.Invocation] = true
			v.blame(&v.Mixed, "invocation %s answered by %s and by %s", l.Invocation, first, r.ModelVersion)
			continue
		}
		versions[l.Invocation] = r.ModelVersion
		n, loaded := order[r.ModelVersion]
		began, invoked := o.Invocations[l.Invocation]
		switch {
		case !loaded || !invoked:
			blamed[l.Invocation] = true
			v.blame(&v.Phantom, "invocation %q by model %q: no such invocation or model", l.Invocation, r.ModelVersion)
		case n+1 < len(o.Activations) && o.Activations[n+1].At.Before(began):
			blamed[l.Invocation] = true
			v.blame(&v.Regressed, "invocation %s began at %v and answered by %s, though %s was active since %v",
				l.Invocation, began, r.ModelVersion, o.Activations[n+1].Version, o.Activations[n+1].At)
		}
	}
	for _, s := range o.Sent {
		if s.Valid && !answered[s.ID] {
			v.blame(&v.Lost, "event %s is not answered", s.ID)
		}
	}
}
