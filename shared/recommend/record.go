package recommend

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/millrace/millrace/shared/event"
)

// ListLength is the length of both lists of a record.
const ListLength = 5

// AppendRecord answers an event of a user (nil: not in the model) and appends the record to dst: one line of JSON, the
// event's own fields first. itemField is the dataset's name of an item in an event.
func (m *Model) AppendRecord(dst []byte, itemField string, e event.Event, user *User, eventID string, now time.Time) ([]byte, error) {
	answer, err := m.Answer(Request{User: user, Features: e.Features, History: e.History, Limit: ListLength})
	if err != nil {
		return dst, err
	}
	record := event.Answer{
		Seed: answer.Seed, Strategy: answer.Strategy,
		Lineage: event.Lineage{EventID: eventID, RecommendationID: recommendationID(eventID, m.Version), ModelVersion: m.Version, GeneratedAt: now},
	}
	for _, i := range answer.Items {
		record.Recommended = append(record.Recommended, event.Recommended{ID: i.ID, Score: i.Score, Because: i.Because})
	}
	for _, n := range answer.Similar {
		record.Similar = append(record.Similar, event.Similar{ID: n.ID, Distance: n.Distance})
	}
	return e.AppendRecord(dst, itemField, record)
}

// recommendationID is the same whenever the same event is answered by the same model: a retry makes no second recommendation.
func recommendationID(eventID, modelVersion string) string {
	sum := sha256.Sum256([]byte(eventID + "\x00" + modelVersion))
	return hex.EncodeToString(sum[:16])
}
