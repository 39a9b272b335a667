package invoke

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/lake"
)

// EventBucket is the lake's name in events/, where no stack's own name can be.
const EventBucket = "millrace-lake"

// forLake puts what only a deployed stack knows into an "Object Created" event for EventBucket: the name of its lake and, since a
// model's version ends with a checksum of its training set, the version that this lake has of the same run. Other events stay as
// they are.
func forLake(ctx context.Context, event []byte, name string, store lake.Store) ([]byte, error) {
	var created struct {
		Detail struct {
			Bucket struct{ Name string }
			Object struct{ Key string }
		}
	}
	if json.Unmarshal(event, &created) != nil || created.Detail.Bucket.Name != EventBucket {
		return event, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	var whole map[string]any
	if err := decoder.Decode(&whole); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	detail := child(whole, "detail")
	child(detail, "bucket")["name"] = name
	key, err := modelOfSameRun(ctx, created.Detail.Object.Key, store)
	if err != nil {
		return nil, err
	}
	child(detail, "object")["key"] = key
	return json.Marshal(whole)
}

func modelOfSameRun(ctx context.Context, key string, store lake.Store) (string, error) {
	version, isModel := strings.CutPrefix(key, "models/")
	version, isManifest := strings.CutSuffix(version, "/manifest.json")
	run, _, hasRun := strings.Cut(version, "-")
	if !isModel || !isManifest || !hasRun {
		return key, nil
	}
	there, err := store.List(ctx, "models/"+run+"-")
	if err != nil {
		return "", err
	}
	for _, candidate := range there {
		if strings.HasSuffix(candidate, "/manifest.json") {
			key = candidate
		}
	}
	return key, nil
}
