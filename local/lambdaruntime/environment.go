package lambdaruntime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// environment is one process at a time, and the Runtime API it talks to.
type environment struct {
	settings Settings
	answered func() (lost bool)

	mu      sync.Mutex
	process *process
	starts  int
}

// process is a bootstrap that runs.
type process struct {
	command *exec.Cmd
	api     *http.Server
	work    chan *invocation // taken by the process's next request for one
	exited  chan struct{}
	why     error // set before exited is closed

	mu      sync.Mutex
	current *invocation
}

type invocation struct {
	id       string
	trace    string
	event    []byte
	deadline time.Time
	result   chan result // of length 1
}

type result struct {
	answer []byte
	err    error
}

// invoke starts the process if there is none, and waits for its answer, its end or its time's end.
func (e *environment) invoke(ctx context.Context, event []byte) ([]byte, error) {
	p, err := e.start()
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	i := &invocation{id: id, trace: "Root=1-" + id, event: event, deadline: time.Now().Add(e.settings.Timeout), result: make(chan result, 1)}
	if e.settings.Begun != nil {
		e.settings.Begun(i.trace)
	}
	timeout := time.NewTimer(e.settings.Timeout)
	defer timeout.Stop()
	select {
	case p.work <- i:
	case <-p.exited:
		return nil, p.why
	case <-timeout.C:
		return nil, errors.Join(errors.New("the process did not ask for an invocation in time"), e.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.stop())
	}
	select {
	case r := <-i.result:
		return r.answer, r.err
	case <-p.exited:
		return nil, p.why
	case <-timeout.C:
		return nil, errors.Join(fmt.Errorf("task timed out after %v", e.settings.Timeout), e.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.stop())
	}
}

func (e *environment) start() (*process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process != nil {
		select {
		case <-e.process.exited:
		default:
			return e.process, nil
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{work: make(chan *invocation), exited: make(chan struct{})}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /2018-06-01/runtime/invocation/next", p.next)
	routes.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { e.finish(p, w, r, false) })
	routes.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { e.finish(p, w, r, true) })
	p.api = &http.Server{Handler: routes}
	go p.api.Serve(listener)
	p.command = exec.Command(e.settings.Bootstrap)
	p.command.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=function"}, e.settings.Environment...)
	p.command.Stdout, p.command.Stderr = e.settings.Log, e.settings.Log
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(err, p.api.Close())
	}
	e.process, e.starts = p, e.starts+1
	go func() {
		err := p.command.Wait()
		p.why = fmt.Errorf("the process has ended: %w", errors.Join(err, p.api.Close()))
		close(p.exited)
	}()
	return p, nil
}

// next answers as the Runtime API does when there is something to do.
func (p *process) next(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case i := <-p.work:
		p.mu.Lock()
		p.current = i
		p.mu.Unlock()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:000000000000:function:function")
		h.Set("Lambda-Runtime-Trace-Id", i.trace) // the SDK passes it on
		_, _ = w.Write(i.event)                   // a process that is gone is seen by its end
	}
}

// finish takes what the process says became of its invocation.
func (e *environment) finish(p *process, w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(r.Body)
	p.mu.Lock()
	i := p.current
	p.mu.Unlock()
	if err != nil || i == nil || i.id != r.PathValue("id") {
		http.Error(w, `{"errorMessage":"no such invocation","errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	}
	if e.answered() {
		_ = e.stop() // the invocation ends with the process
		return
	}
	w.WriteHeader(http.StatusAccepted)
	if !failed {
		i.result <- result{answer: body}
		return
	}
	var said struct{ ErrorMessage, ErrorType string }
	_ = json.Unmarshal(body, &said) // what is no JSON has no words of its own
	i.result <- result{err: fmt.Errorf("%s: %s", said.ErrorType, said.ErrorMessage)}
}

func (e *environment) running() *os.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.process == nil {
		return nil
	}
	select {
	case <-e.process.exited:
		return nil
	default:
		return e.process.command.Process
	}
}

func (e *environment) signal(s syscall.Signal) bool {
	p := e.running()
	return p != nil && p.Signal(s) == nil
}

// stop kills the process and waits for its end.
func (e *environment) stop() error {
	if !e.signal(syscall.SIGKILL) {
		return nil
	}
	e.mu.Lock()
	exited := e.process.exited
	e.mu.Unlock()
	<-exited
	return nil
}
