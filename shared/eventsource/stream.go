package eventsource

import (
	"crypto/md5"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Record is a data record of a stream.
type Record struct {
	PartitionKey   string
	SequenceNumber string // of one length, so that they compare as text as they do as numbers
	Data           []byte
	ArrivedAt      time.Time
}

// Stream is a Kinesis data stream in memory.
type Stream struct {
	mu      sync.Mutex
	shards  []*shard
	last    int           // sequence number given last
	changed chan struct{} // closed at the next change
}

// shard takes the records whose partition keys hash to from ≤ hash < to.
type shard struct {
	id       string
	parents  []*shard
	from, to *big.Int
	closed   bool // by resharding: it takes no more records
	records  []Record
}

// NewStream has n shards of equal parts of the hash keys, and none of them a parent.
func NewStream(n int) *Stream {
	s := &Stream{changed: make(chan struct{})}
	end := new(big.Int).Lsh(big.NewInt(1), 128)
	bound := func(k int) *big.Int {
		b := new(big.Int).Mul(end, big.NewInt(int64(k)))
		return b.Div(b, big.NewInt(int64(n)))
	}
	for k := range n {
		s.add(bound(k), bound(k+1))
	}
	return s
}

func (s *Stream) add(from, to *big.Int, parents ...*shard) {
	s.shards = append(s.shards, &shard{id: fmt.Sprintf("shardId-%012d", len(s.shards)), parents: parents, from: from, to: to})
}

// notify wakes who waits for records or shards. The lock is held.
func (s *Stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Put acknowledges a record with its shard and its sequence number.
//
// "An MD5 hash function is used to map partition keys to 128-bit integer values and to map associated data records to shards using the hash
// key ranges of the shards." https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
func (s *Stream) Put(partitionKey string, data []byte) (shardID, sequenceNumber string) {
	sum := md5.Sum([]byte(partitionKey))
	hash := new(big.Int).SetBytes(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if !sh.closed && hash.Cmp(sh.from) >= 0 && hash.Cmp(sh.to) < 0 {
			s.last++
			sequenceNumber = fmt.Sprintf("4959%052d", s.last)
			sh.records = append(sh.records, Record{partitionKey, sequenceNumber, data, time.Now()})
			s.notify()
			return sh.id, sequenceNumber
		}
	}
	panic("the open shards cover all hash keys")
}

// Len is the number of records ever put.
func (s *Stream) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// OpenShards are the ids of those that take records, ascending by hash key: neighbours can be merged.
func (s *Stream) OpenShards() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := new(big.Int)
	for next != nil {
		from := next
		next = nil
		for _, sh := range s.shards {
			if !sh.closed && sh.from.Cmp(from) == 0 {
				ids, next = append(ids, sh.id), sh.to
			}
		}
	}
	return ids
}

// Split closes a shard and opens two in its place.
func (s *Stream) Split(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.open(id)
	if sh == nil {
		return fmt.Errorf("shard %s is not open", id)
	}
	middle := new(big.Int).Add(sh.from, sh.to)
	middle.Rsh(middle, 1)
	sh.closed = true
	s.add(sh.from, middle, sh)
	s.add(middle, sh.to, sh)
	s.notify()
	return nil
}

// Merge closes two neighbours and opens one in their place.
func (s *Stream) Merge(lower, upper string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, b := s.open(lower), s.open(upper)
	if a == nil || b == nil || a.to.Cmp(b.from) != 0 {
		return errors.New("shards " + lower + " and " + upper + " are not open neighbours")
	}
	a.closed, b.closed = true, true
	s.add(a.from, b.to, a, b)
	s.notify()
	return nil
}

func (s *Stream) open(id string) *shard {
	for _, sh := range s.shards {
		if sh.id == id && !sh.closed {
			return sh
		}
	}
	return nil
}
