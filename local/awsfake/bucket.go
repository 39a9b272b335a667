package awsfake

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// Bucket is an S3 bucket that takes objects in one part.
type Bucket struct {
	*Faults
	mu      sync.Mutex
	objects map[string][]byte
}

// NewBucket is empty.
func NewBucket(seed uint64) *Bucket {
	return &Bucket{Faults: NewFaults(seed), objects: map[string][]byte{}}
}

// Objects are all that were stored, by key.
func (b *Bucket) Objects() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.objects)
}

// Put stores an object without the wire.
func (b *Bucket) Put(key string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = body
}

// ServeHTTP answers PutObject of path-style addresses: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, isObject := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(r.Body)
	if r.Method != http.MethodPut || !isObject || err != nil || r.Header.Get("Content-Encoding") == "aws-chunked" || r.URL.Query().Has("partNumber") {
		failXML(w, http.StatusNotImplemented, "NotImplemented", "want PutObject, in one part and not chunked")
		return
	}
	fault := b.next()
	switch fault {
	case Throttled, SomeEntriesFail, Unavailable: // S3 has one answer for all three
		failXML(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return
	case ResetBefore:
		reset(w)
		return
	}
	b.Put(key, body)
	b.done()
	if fault == AcceptedAndReset {
		reset(w)
		return
	}
	w.Header().Set("ETag", `"0"`)
}

func failXML(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>0</RequestId></Error>", code, message)
}
