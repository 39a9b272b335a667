package recommend

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/experiment"
)

// ListLength is the length of both lists of a record.
const ListLength = 5

// Event is a shop's event with what is known of its user.
type Event struct {
	event.Event
	ID      string // <shard>:<sequence>[:<sub>]
	User    *User  // nil: not in the model
	Variant string // what this model is to the user: "" is the active one (package experiment)
}

// Record answers an event: one line of JSON, the event's own fields first.
type Record struct {
	Line     []byte
	Strategy string
}

// Records answers events. itemField is the dataset's name of an item in an event.
func (m *Model) Records(itemField string, events []Event, now time.Time) ([]Record, error) {
	answers, err := m.Answers(Requests(events))
	if err != nil {
		return nil, err
	}
	return Records(m.Version, itemField, events, answers, now)
}

// Requests are what is to be answered for events.
func Requests(events []Event) []Request {
	requests := make([]Request, len(events))
	for n, e := range events {
		requests[n] = Request{User: e.User, Features: e.Features, History: e.History, Limit: ListLength}
	}
	return requests
}

// Records are the lines of events that a version has answered.
func Records(version, itemField string, events []Event, answers []Answer, now time.Time) ([]Record, error) {
	records := make([]Record, len(events))
	for n, e := range events {
		added := event.Answer{
			Seed: answers[n].Seed, Strategy: answers[n].Strategy,
			Lineage: event.Lineage{EventID: e.ID, RecommendationID: recommendationID(e.ID, version, answers[n].Strategy), ModelVersion: version, Variant: cmp.Or(e.Variant, experiment.Active), GeneratedAt: now},
		}
		for _, i := range answers[n].Items {
			added.Recommended = append(added.Recommended, event.Recommended{ID: i.ID, Score: i.Score, Why: i.Why, Because: i.Because})
		}
		for _, near := range answers[n].Similar {
			added.Similar = append(added.Similar, event.Similar{ID: near.ID, Distance: near.Distance})
		}
		line, err := e.AppendRecord(nil, itemField, added)
		if err != nil {
			return nil, err
		}
		records[n] = Record{line, added.Strategy}
	}
	return records, nil
}

// recommendationID is the same whenever the same event is answered by the same model: a retry makes no second recommendation. By popularity,
// because the database was down, it is another one.
func recommendationID(eventID, modelVersion, strategy string) string {
	sum := sha256.Sum256([]byte(eventID + "\x00" + modelVersion + "\x00" + strategy))
	return hex.EncodeToString(sum[:16])
}
