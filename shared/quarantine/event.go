// Package quarantine is how an event that can never be processed lies in the lake: whole, with the reason, for an operator to read, to
// mend and to send again.
package quarantine

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/shared/lake"
)

// Root holds what the recommender rejected, by the day it arrived.
const Root = "quarantine/recommender/"

// Event is a rejected event.
type Event struct {
	EventID      string    `json:"event_id"` // <shard>:<sequence>[:<sub>]
	Reason       string    `json:"reason"`
	ArrivedAt    time.Time `json:"arrived_at"`
	PartitionKey string    `json:"partition_key"`
	Redrive      string    `json:"redrive,omitempty"`        // the redrive that brought it, if it was rejected again
	Payload      *string   `json:"payload,omitempty"`        // if it is UTF-8
	Base64       []byte    `json:"payload_base64,omitempty"` // if it is not
}

// New puts a payload in the form in which people can read it.
func New(id, reason string, arrived time.Time, partitionKey, redrive string, payload []byte) Event {
	e := Event{EventID: id, Reason: reason, ArrivedAt: arrived.UTC(), PartitionKey: partitionKey, Redrive: redrive}
	if utf8.Valid(payload) {
		text := string(payload)
		e.Payload = &text
	} else {
		e.Base64 = payload
	}
	return e
}

// Key is where it lies. It is made of the event alone: the same event rejected twice is one object.
func (e Event) Key() string {
	return lake.QuarantineDir("recommender", lake.Day(e.ArrivedAt)) + strings.ReplaceAll(e.EventID, ":", "-") + ".json"
}

// Data is the payload.
func (e Event) Data() []byte {
	if e.Payload != nil {
		return []byte(*e.Payload)
	}
	return e.Base64
}

// Parse reads an object of the quarantine.
func Parse(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("no event of the quarantine: %w", err)
	}
	if e.EventID == "" || (e.Payload == nil) == (e.Base64 == nil) {
		return Event{}, fmt.Errorf("no event of the quarantine: want event_id, and payload or payload_base64")
	}
	return e, nil
}
