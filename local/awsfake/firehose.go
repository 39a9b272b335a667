package awsfake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Firehose keeps the lines it accepts.
type Firehose struct {
	*Faults
	mu    sync.Mutex
	lines []Line
}

// Line is a line of a record, in the order of acceptance.
type Line struct {
	Invocation string // whose call it was: X-Amzn-Trace-Id
	Text       []byte
}

// NewFirehose is empty.
func NewFirehose(seed uint64) *Firehose { return &Firehose{Faults: NewFaults(seed)} }

// Lines are all that were accepted.
func (f *Firehose) Lines() []Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines[:len(f.lines):len(f.lines)]
}

// ServeHTTP answers PutRecordBatch in AWS JSON 1.1: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
func (f *Firehose) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct {
		DeliveryStreamName string
		Records            []struct{ Data []byte }
	}
	if r.Header.Get("X-Amz-Target") != "Firehose_20150804.PutRecordBatch" || json.NewDecoder(r.Body).Decode(&call) != nil {
		fail(w, http.StatusBadRequest, "InvalidArgumentException", "want PutRecordBatch")
		return
	}
	if problem := limits(call.Records); problem != "" {
		fail(w, http.StatusBadRequest, "InvalidArgumentException", problem)
		return
	}
	fault := f.next()
	switch fault {
	case Throttled:
		fail(w, http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
		return
	case Unavailable:
		fail(w, http.StatusServiceUnavailable, "ServiceUnavailableException", "Slow down.")
		return
	case ResetBefore:
		reset(w)
		return
	}
	failed, entries := 0, make([]string, len(call.Records))
	for n, record := range call.Records {
		if fault == SomeEntriesFail && f.thirty() {
			failed++
			entries[n] = `{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}`
			continue
		}
		entries[n] = fmt.Sprintf(`{"RecordId":"%d"}`, n)
		f.mu.Lock()
		for text := range bytes.Lines(record.Data) {
			f.lines = append(f.lines, Line{r.Header.Get("X-Amzn-Trace-Id"), text})
		}
		f.mu.Unlock()
	}
	f.done()
	if fault == AcceptedAndReset {
		reset(w)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fmt.Fprintf(w, `{"Encrypted":false,"FailedPutCount":%d,"RequestResponses":[%s]}`, failed, strings.Join(entries, ","))
}

// limits are those of https://docs.aws.amazon.com/firehose/latest/dev/limits.html
func limits(records []struct{ Data []byte }) (problem string) {
	total := 0
	for _, r := range records {
		total += len(r.Data)
		if len(r.Data) > 1000<<10 {
			return "a record of more than 1,000 KiB"
		}
	}
	if n := len(records); n < 1 || n > 500 || total > 4<<20 {
		return fmt.Sprintf("%d records of %d bytes: want 1 to 500, of 4 MiB", n, total)
	}
	return ""
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"message":%q}`, kind, message)
}
