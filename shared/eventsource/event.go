package eventsource

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
)

const (
	region    = "eu-central-1"
	streamARN = "arn:aws:kinesis:" + region + ":000000000000:stream/events"
	// What the names of an event's fields and its constant values take, once and for each record, in bytes and a little more.
	envelopeBytes = 32
	recordBytes   = 640
)

func payloadBytes(r Record) int {
	return recordBytes + len(r.PartitionKey) + base64.StdEncoding.EncodedLen(len(r.Data))
}

// Event is what a function is given: the example event of with-kinesis.html.
func Event(shardID string, records []Record) []byte {
	var event events.KinesisEvent
	for _, r := range records {
		event.Records = append(event.Records, events.KinesisEventRecord{
			Kinesis: events.KinesisRecord{
				KinesisSchemaVersion: "1.0", PartitionKey: r.PartitionKey, SequenceNumber: r.SequenceNumber, Data: r.Data,
				ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: r.ArrivedAt.Truncate(time.Millisecond)},
			},
			EventSource: "aws:kinesis", EventVersion: "1.0", EventName: "aws:kinesis:record", EventID: shardID + ":" + r.SequenceNumber,
			InvokeIdentityArn: "arn:aws:iam::000000000000:role/recommender", AwsRegion: region, EventSourceArn: streamARN,
		})
	}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // strings, bytes and times
	}
	return text
}

// Conditions of what is given up. AWS shows only the first.
const (
	RetryAttemptsExhausted = "RetryAttemptsExhausted"
	RecordAgeExceeded      = "RecordAgeExceeded"
)

// Discarded are records that the mapping has given up.
type Discarded struct {
	Condition   string
	ShardID     string
	Records     []Record // in order
	Invocations int      // of the batch they were part of
	At          time.Time
}

// Object is what an on-failure destination in S3 gets: "For Amazon S3 destinations, Lambda also sends the entire invocation record along with
// the metadata." Its key: aws/lambda/<mapping's UUID>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random UUID>.
func (d Discarded) Object(mapping uuid.UUID) (key string, body []byte) {
	at, first, last := d.At.UTC(), d.Records[0], d.Records[len(d.Records)-1]
	body, err := json.Marshal(map[string]any{
		"requestContext": map[string]any{
			"requestId": uuid.NewString(), "functionArn": "arn:aws:lambda:" + region + ":000000000000:function:recommender",
			"condition": d.Condition, "approximateInvokeCount": d.Invocations,
		},
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"version":         "1.0",
		"timestamp":       at.Format("2006-01-02T15:04:05.000Z"),
		"KinesisBatchInfo": map[string]any{
			"shardId": d.ShardID, "startSequenceNumber": first.SequenceNumber, "endSequenceNumber": last.SequenceNumber,
			"approximateArrivalOfFirstRecord": first.ArrivedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
			"approximateArrivalOfLastRecord":  last.ArrivedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
			"batchSize":                       len(d.Records), "streamArn": streamARN,
		},
		"payload": string(Event(d.ShardID, d.Records)),
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	return fmt.Sprintf("aws/lambda/%s/%s/%s-%s", mapping, d.ShardID, at.Format("2006/01/02/2006-01-02T15.04.05"), uuid.NewString()), body
}
