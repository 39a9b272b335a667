package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/delivery"
)

// What can become of a call.
const (
	accepted         = "accepted"
	partly           = "some entries failed"
	throttled        = "400 ThrottlingException"
	unavailable      = "503 ServiceUnavailableException"
	resetBefore      = "connection reset, nothing accepted"
	acceptedAndReset = "accepted, then connection reset"
	short            = "accepted, the answer has too few entries"
	denied           = "400 AccessDeniedException"
)

// wire is Firehose as the SDK's client sees it: HTTP requests and answers in its format.
type wire struct {
	t            *rapid.T
	sent         map[string]int // how often each line was in a request
	stored       map[string]int
	acknowledged map[string]bool
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	require.Equal(w.t, "Firehose_20150804.PutRecordBatch", r.Header.Get("X-Amz-Target"))
	var call struct{ Records []struct{ Data []byte } }
	require.NoError(w.t, json.NewDecoder(r.Body).Decode(&call))
	require.NotEmpty(w.t, call.Records)
	require.LessOrEqual(w.t, len(call.Records), 500)
	total := 0
	for _, record := range call.Records {
		require.LessOrEqual(w.t, len(record.Data), 1000<<10)
		total += len(record.Data)
		for _, line := range split(record.Data) {
			w.sent[line]++
			require.False(w.t, w.acknowledged[line], "accepted and sent again: %.20s", line)
		}
	}
	require.LessOrEqual(w.t, total, 4<<20)
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	switch outcome := rapid.SampledFrom([]string{
		accepted, partly, partly, partly, throttled, unavailable, resetBefore, acceptedAndReset, short, denied,
	}).Draw(w.t, "outcome"); outcome {
	case throttled:
		return answer(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`), nil
	case unavailable:
		return answer(503, `{"__type":"ServiceUnavailableException","message":"Slow down."}`), nil
	case denied:
		return answer(400, `{"__type":"AccessDeniedException","Message":"no"}`), nil
	case resetBefore:
		return nil, reset
	default:
		failed, entries := 0, []string{}
		for n, record := range call.Records {
			if outcome == partly && rapid.Bool().Draw(w.t, "fails") {
				failed++
				entries = append(entries, `{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}`)
				continue
			}
			said := outcome != acceptedAndReset && (outcome != short || n < len(call.Records)/2)
			for _, line := range split(record.Data) {
				w.stored[line]++
				w.acknowledged[line] = said
			}
			if said {
				entries = append(entries, `{"RecordId":"r"}`)
			}
		}
		if outcome == acceptedAndReset {
			return nil, reset
		}
		return answer(200, fmt.Sprintf(`{"Encrypted":false,"FailedPutCount":%d,"RequestResponses":[%s]}`, failed, strings.Join(entries, ","))), nil
	}
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func split(data []byte) (lines []string) {
	for line := range bytes.Lines(data) {
		lines = append(lines, string(line))
	}
	return lines
}

func TestWhateverFirehoseDoesNoLineIsLostNoAcceptedOneSentAgainAndTheRestIsReported(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list [][]byte
		lengths := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(10, 300), rapid.IntRange(300<<10, 1000<<10)), 0, 20).Draw(t, "lengths")
		for n, length := range lengths {
			list = append(list, append(bytes.Repeat([]byte{'x'}, length-8), fmt.Sprintf("%07d\n", n)...))
		}
		w := &wire{t, map[string]int{}, map[string]int{}, map[string]bool{}}
		client := firehose.New(firehose.Options{Region: "eu-central-1", HTTPClient: w, Credentials: aws.AnonymousCredentials{}})
		c := &clock{limit: rapid.IntRange(1, 12).Draw(t, "pauses")}
		failed, err := delivery.New(client, "answers", c.wait, func() float64 { return 0 }).Write(context.Background(), list)
		require.Equal(t, len(failed) > 0, err != nil)
		require.True(t, slices.IsSorted(failed))
		for n, line := range list {
			require.Equal(t, !slices.Contains(failed, n), w.acknowledged[string(line)], "exactly what was not accepted, for all that was answered, is reported")
			if !slices.Contains(failed, n) {
				require.Positive(t, w.stored[string(line)])
			}
			delete(w.stored, string(line))
		}
		require.Empty(t, w.stored, "nothing is made up")
	})
}
