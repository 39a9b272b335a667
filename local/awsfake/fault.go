// Package awsfake answers as Firehose, S3 and Secrets Manager do on the wire, as far as the recommender asks them, with the faults they have.
package awsfake

import (
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
)

// Fault is what goes wrong with a request.
type Fault string

const (
	None             Fault = "none"
	Throttled        Fault = "throttled"
	Unavailable      Fault = "503"
	ResetBefore      Fault = "connection reset"
	AcceptedAndReset Fault = "accepted, then connection reset"
	SomeEntriesFail  Fault = "30 % of the entries fail" // of Firehose; S3 has no entries
)

// Faults decides which requests fail, and is asked by several at once.
type Faults struct {
	mu     sync.Mutex
	random *rand.Rand
	fault  Fault
	share  float64
	met    int

	before, after func()
}

// NewFaults has none yet.
func NewFaults(seed uint64) *Faults {
	return &Faults{random: rand.New(rand.NewPCG(seed, 0)), fault: None}
}

// Set lets a share of the requests meet a fault from now on.
func (f *Faults) Set(fault Fault, share float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.share = fault, share
}

// Met is how many requests have met a fault.
func (f *Faults) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// On lets before be called when a request has arrived, and after when it is done but not answered; nil is for neither.
func (f *Faults) On(before, after func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *Faults) next() Fault {
	f.mu.Lock()
	hook := f.before
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.Float64() < f.share {
		f.met++
		return f.fault
	}
	return None
}

func (f *Faults) done() {
	f.mu.Lock()
	hook := f.after
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
}

// thirty says of each entry whether it is of the 30 %.
func (f *Faults) thirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(10) < 3
}

// reset ends a connection as a machine does that has crashed: with RST, not FIN.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // gone already
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
