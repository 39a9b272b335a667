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
// event's own fields first. itemField is the dataset's name of an item in an event. The strategy is that of the answer.
func (m *Model) AppendRecord(dst []byte, itemField string, e event.Event, user *User, eventID string, now time.Time) (record []byte, strategy string, err error) {
	answer, err := m.Answer(Request{User: user, Features: e.Features, History: e.History, Limit: ListLength})
	if err != nil {
		return dst, "", err
	}
	added := event.Answer{
		Seed: answer.Seed, Strategy: answer.Strategy,
		Lineage: event.Lineage{EventID: eventID, RecommendationID: recommendationID(eventID, m.Version), ModelVersion: m.Version, GeneratedAt: now},
	}
	for _, i := range answer.Items {
		added.Recommended = append(added.Recommended, event.Recommended{ID: i.ID, Score: i.Score, Because: i.Because})
	}
	for _, n := range answer.Similar {
		added.Similar = append(added.Similar, event.Similar{ID: n.ID, Distance: n.Distance})
	}
	record, err = e.AppendRecord(dst, itemField, added)
	return record, answer.Strategy, err
}

// recommendationID is the same whenever the same event is answered by the same model: a retry makes no second recommendation.
func recommendationID(eventID, modelVersion string) string {
	sum := sha256.Sum256([]byte(eventID + "\x00" + modelVersion))
	return hex.EncodeToString(sum[:16])
}
