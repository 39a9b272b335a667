// Package lambdaruntime runs a function's bootstrap as Lambda does: processes that speak the Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), each with one invocation at a time, killed when it takes too long and
// started again when it is gone. What happens to the machine below them can be had too: a process is killed or stands still.
package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/shared/eventsource"
)

// Settings of a function.
type Settings struct {
	Bootstrap   string
	Environment []string // NAME=value
	Timeout     time.Duration
	Concurrency int       // processes at most: an invocation for which there is none is throttled
	Log         io.Writer // what the processes write
	// Begun is told the trace id of each invocation as it begins, by which services know whose calls they answer. May be nil.
	Begun func(trace string)
}

// Function invokes processes of one bootstrap.
type Function struct {
	settings Settings
	idle     chan *environment
	all      []*environment
	answered func() (lost bool)
	mu       sync.Mutex
}

// New starts nothing yet: the first invocations do.
func New(s Settings) *Function {
	f := &Function{settings: s, idle: make(chan *environment, s.Concurrency)}
	for range s.Concurrency {
		e := &environment{settings: s, answered: f.answerArrives}
		f.all = append(f.all, e)
		f.idle <- e
	}
	return f
}

// Invoke gives an event to a process that has none. Errors: eventsource.ErrNotInvoked if there is none.
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	select {
	case e := <-f.idle:
		defer func() { f.idle <- e }()
		return e.invoke(ctx, event)
	default:
		return nil, fmt.Errorf("%w: %d invocations at once already", eventsource.ErrNotInvoked, f.settings.Concurrency)
	}
}

// OnAnswer is asked when an answer of a process arrives: if it says that the answer is lost, the process is killed and the invocation has failed.
func (f *Function) OnAnswer(lost func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = lost
}

func (f *Function) answerArrives() (lost bool) {
	f.mu.Lock()
	hook := f.answered
	f.mu.Unlock()
	return hook != nil && hook()
}

// Kill ends the n-th process as kill -9 does, whatever it does at the moment; false if it does not run.
func (f *Function) Kill(n int) bool { return f.all[n].signal(syscall.SIGKILL) }

// Pause lets the n-th process stand still for a while; false if it does not run.
func (f *Function) Pause(n int, d time.Duration) bool {
	if !f.all[n].signal(syscall.SIGSTOP) {
		return false
	}
	time.Sleep(d)
	f.all[n].signal(syscall.SIGCONT)
	return true
}

// Process is the n-th one, nil if it does not run.
func (f *Function) Process(n int) *os.Process { return f.all[n].running() }

// Starts is how often a process was started.
func (f *Function) Starts() (n int) {
	for _, e := range f.all {
		e.mu.Lock()
		n += e.starts
		e.mu.Unlock()
	}
	return n
}

// Close kills all processes. No invocation may be under way.
func (f *Function) Close() error {
	var problems []error
	for _, e := range f.all {
		problems = append(problems, e.stop())
	}
	return errors.Join(problems...)
}
