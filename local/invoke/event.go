package invoke

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// EventBucket is the lake's name in events/: the deployed stack's own is known only there.
const EventBucket = "millrace-lake"

// ownBucket puts the stack's lake in the place of EventBucket in an "Object Created" event, and leaves every other event as it is.
func ownBucket(event []byte, bucket string) ([]byte, error) {
	var created struct {
		Detail struct{ Bucket struct{ Name string } }
	}
	if json.Unmarshal(event, &created) != nil || created.Detail.Bucket.Name != EventBucket || bucket == "" {
		return event, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	var whole map[string]any
	if err := decoder.Decode(&whole); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	child(child(whole, "detail"), "bucket")["name"] = bucket
	return json.Marshal(whole)
}
