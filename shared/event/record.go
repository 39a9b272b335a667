package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Answer is what a record adds to its event.
type Answer struct {
	Recommended []Recommended // score descending
	Seed        string        // the item that Similar is about
	Similar     []Similar     // distance ascending
	Strategy    string
	Lineage     Lineage
}

// Recommended is an item for the user. Why says what its score is owed to most; if that is an item of the session, Because names it.
type Recommended struct {
	ID      string  `json:"id"`
	Score   float32 `json:"score"`
	Why     string  `json:"why"`
	Because string  `json:"because,omitempty"`
}

// Similar is an item near the seed, by cosine distance.
type Similar struct {
	ID       string  `json:"id"`
	Distance float32 `json:"distance"`
}

// Lineage says where an answer comes from.
type Lineage struct {
	EventID          string // <shard>:<sequence>[:<sub>]
	RecommendationID string // the same event answered by the same model has the same one
	ModelVersion     string
	Variant          string // what the version was to an experiment: active, control or treatment
	GeneratedAt      time.Time
}

// Names of the fields that a record adds.
const (
	recommendedItems = "recommended_items"
	similarItems     = "similar_items"
	eventID          = "event_id"
	recommendationID = "recommendation_id"
	modelVersion     = "model_version"
	variant          = "variant"
	strategy         = "strategy"
	generatedAt      = "generated_at"
)

// free names an event's own field: as it was sent, or, if that is taken, sent_<name>, sent_2_<name>, … To SQL engines City and city are one
// column, and a line with both is none. Taken holds names in lower case; copies, by name, how many of it were renamed, so that an event
// of nothing but such names takes no longer, and is hardly larger, than another.
func free(name string, taken map[string]bool, copies map[string]int) string {
	lower := strings.ToLower(name)
	prefix := ""
	for taken[prefix+lower] {
		copies[lower]++
		prefix = "sent_"
		if n := copies[lower]; n > 1 {
			prefix = fmt.Sprintf("sent_%d_", n)
		}
	}
	taken[prefix+lower] = true
	return prefix + name
}

// AppendRecord appends the event as it was sent, then the answer, as one line of JSON ending in \n. Nothing sent is lost: a field whose name
// the record needs for itself is renamed. itemField is the dataset's name of an item in an event.
func (e Event) AppendRecord(dst []byte, itemField string, a Answer) ([]byte, error) {
	line := bytes.NewBuffer(dst)
	names := json.NewEncoder(line)
	names.SetEscapeHTML(false) // six bytes for a < would make a large line too large
	taken := map[string]bool{
		recommendedItems: true, similarItems: true, eventID: true, recommendationID: true,
		modelVersion: true, variant: true, strategy: true, generatedAt: true,
	}
	copies := map[string]int{}
	for _, f := range e.fields {
		if err := appendField(line, names, free(f.name, taken, copies), f.value); err != nil {
			return dst, err
		}
	}
	if a.Recommended == nil {
		a.Recommended = []Recommended{}
	}
	if a.Similar == nil {
		a.Similar = []Similar{}
	}
	for _, f := range []struct {
		name  string
		value any
	}{
		{recommendedItems, a.Recommended},
		{similarItems, similar{itemField, a.Seed, a.Similar}},
		{eventID, a.Lineage.EventID},
		{recommendationID, a.Lineage.RecommendationID},
		{modelVersion, a.Lineage.ModelVersion},
		{variant, a.Lineage.Variant},
		{strategy, a.Strategy},
		{generatedAt, a.Lineage.GeneratedAt.UTC().Format(time.RFC3339Nano)},
	} {
		value, err := json.Marshal(f.value)
		if err == nil {
			err = appendField(line, names, f.name, value)
		}
		if err != nil {
			return dst, fmt.Errorf("record of event %s: %s: %w", a.Lineage.EventID, f.name, err)
		}
	}
	line.WriteString("}\n")
	return line.Bytes(), nil
}

func appendField(line *bytes.Buffer, names *json.Encoder, name string, value json.RawMessage) error {
	if b := line.Bytes(); len(b) == 0 || b[len(b)-1] == '\n' {
		line.WriteByte('{')
	} else {
		line.WriteByte(',')
	}
	if err := names.Encode(name); err != nil {
		return err
	}
	line.Truncate(line.Len() - 1) // the encoder's \n
	line.WriteByte(':')
	return json.Compact(line, value) // a line is a record: the value's own line breaks go
}

// similar is {"<item field>": seed, "similar_items": […]}.
type similar struct {
	itemField, seed string
	items           []Similar
}

func (s similar) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{s.itemField: s.seed, similarItems: s.items})
}
