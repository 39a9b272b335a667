// Package eventsource simulates Lambda's event source mapping of a Kinesis data stream, for tests of what it calls: a stream in memory
// whose records it gives to a function by the rules that AWS documents. Each rule stands with the sentence it implements. Where AWS
// says nothing the harsher reading is taken, and said.
//
// Left out: filters, tumbling windows, enhanced fan-out, the poll once a second (records are seen at once), expiry of the stream's own retention.
//
// Where no other page is named, a sentence is of one of these, below https://docs.aws.amazon.com/lambda/latest/dg/:
// with-kinesis.html, invocation-eventsourcemapping.html, services-kinesis-batchfailurereporting.html, kinesis-on-failure-destination.html.
package eventsource

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"
)

// Function is what a mapping invokes: an event in JSON, and the answer in JSON. An error is the function's, ErrNotInvoked Lambda's.
type Function func(ctx context.Context, event []byte) (answer []byte, err error)

// ErrNotInvoked says that the function was not reached: throttled, or Lambda itself failed.
var ErrNotInvoked = errors.New("the function was not invoked")

// Poller is a mapping at work.
type Poller struct {
	Stream   *Stream
	Mapping  Mapping
	Function Function
	// OnFailure takes what is given up.
	OnFailure func(Discarded)
	// Pause is how long to wait before an attempt, counted from 1, of the same records. AWS does not say how long it waits.
	Pause func(attempt int) time.Duration
	// Repeat says whether a batch that succeeded is given once more. Nil: none is.
	//
	// "Lambda event source mappings process each event at least once, and duplicate processing of records can occur."
	Repeat func() bool

	done atomic.Int64
}

// Done is the number of records that the function has processed or that were given up.
func (p *Poller) Done() int { return int(p.done.Load()) }

// Run works until the context ends. What was not finished then is not done.
func (p *Poller) Run(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	drained := map[*shard]chan struct{}{} // closed when all records of a shard are done
	known := 0
	for {
		p.Stream.mu.Lock()
		changed, all := p.Stream.changed, p.Stream.shards
		p.Stream.mu.Unlock()
		for ; known < len(all); known++ {
			sh := all[known]
			end := make(chan struct{})
			drained[sh] = end
			var parents []chan struct{}
			for _, parent := range sh.parents {
				parents = append(parents, drained[parent])
			}
			lanes.Go(func() { p.read(ctx, sh, parents, end) })
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// read processes a shard after its parents, in as many lanes as the mapping has.
//
// "After a reshard, … data records that were in the parent shards before the reshard remain in those shards"; "if you read from the child
// shards before having read all data from the parent shards, you could read data for a particular hash key out of the order given by the
// data records' sequence numbers." https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
func (p *Poller) read(ctx context.Context, sh *shard, parents []chan struct{}, drained chan struct{}) {
	for _, parent := range parents {
		select {
		case <-ctx.Done():
			return
		case <-parent:
		}
	}
	var lanes sync.WaitGroup
	for k := range p.Mapping.ParallelizationFactor {
		lanes.Go(func() {
			l := lane{poller: p, shard: sh, number: k}
			for {
				batch, more := l.gather(ctx)
				if !more {
					return
				}
				p.process(ctx, sh.id, batch)
			}
		})
	}
	lanes.Wait()
	if ctx.Err() == nil {
		close(drained)
	}
}

// lane is one of the concurrent batches of a shard.
//
// "If you process multiple batches in parallel, in-order processing is still guaranteed for each partition key, but the event source mapping
// simultaneously processes multiple partition keys in the same shard."
type lane struct {
	poller *Poller
	shard  *shard
	number int
	next   int // position in the shard
}

func (l *lane) takes(partitionKey string) bool {
	h := fnv.New32a()
	h.Write([]byte(partitionKey))
	return int(h.Sum32()%uint32(l.poller.Mapping.ParallelizationFactor)) == l.number
}

// maxPayload is what an invocation takes: "the batch reaches the payload limit of 6 MB".
const maxPayload = 6 << 20

// gather waits for a batch; false if there will be none.
//
// "Before invoking the function, Lambda continues to read records from the event source until it has gathered a full batch, the batching
// window expires, or the batch reaches the payload limit of 6 MB." "The next batching window begins as soon as the previous function
// invocation completes." "Each batch contains records from a single shard."
func (l *lane) gather(ctx context.Context) (batch []Record, more bool) {
	m := l.poller.Mapping
	window := time.NewTimer(time.Duration(m.MaximumBatchingWindowInSeconds) * time.Second)
	defer window.Stop()
	expired, size := m.MaximumBatchingWindowInSeconds == 0, envelopeBytes
	for {
		stream := l.poller.Stream
		stream.mu.Lock()
		for l.next < len(l.shard.records) && len(batch) < m.BatchSize {
			if r := l.shard.records[l.next]; l.takes(r.PartitionKey) {
				if len(batch) > 0 && size+payloadBytes(r) > maxPayload {
					expired = true
					break
				}
				batch, size = append(batch, r), size+payloadBytes(r)
			}
			l.next++
		}
		changed, closed := stream.changed, l.shard.closed
		stream.mu.Unlock()
		if len(batch) > 0 && (expired || closed || len(batch) == m.BatchSize) {
			return batch, true
		}
		if closed {
			return nil, false
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-window.C:
			expired = true
		case <-changed:
		}
	}
}
