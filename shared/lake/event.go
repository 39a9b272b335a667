package lake

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// CreatedMarker returns the key of the marker that an EventBridge "Object Created" event of
// S3 announces. It fails, naming what is wrong, for any other event, another bucket, or a key
// that is no marker of the wanted layer.
func CreatedMarker(event events.EventBridgeEvent, bucket, layer string) (string, error) {
	var detail struct {
		Bucket struct{ Name string }
		Object struct{ Key string }
	}
	if event.Source != "aws.s3" || event.DetailType != "Object Created" {
		return "", fmt.Errorf("event %q from %q: want S3's \"Object Created\" through EventBridge (see events/)", event.DetailType, event.Source)
	}
	if err := json.Unmarshal(event.Detail, &detail); err != nil {
		return "", fmt.Errorf("event detail: %w", err)
	}
	if detail.Bucket.Name != bucket {
		return "", fmt.Errorf("event for bucket %q, but this stack's lake is %q", detail.Bucket.Name, bucket)
	}
	got, err := Layer(detail.Object.Key)
	if err != nil {
		return "", err
	}
	if got != layer {
		return "", fmt.Errorf("key %q is in %s/, want %s/", detail.Object.Key, got, layer)
	}
	return detail.Object.Key, nil
}
