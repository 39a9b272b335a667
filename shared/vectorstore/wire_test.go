package vectorstore_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// message is one of those to PostgreSQL that say or do something.
type message struct {
	does      string // "" of a statement that is sent to be executed at once
	name      string // of what is parsed or executed; "" is unnamed
	statement string // whose it is
}

func (m message) String() string {
	return strings.TrimSpace(m.does + " " + strings.Join(strings.Fields(m.statement), " "))
}

var (
	digits  = regexp.MustCompile(`[0-9]+`)
	remarks = regexp.MustCompile(`(?m)^--.*\n`)
)

// kind is what messages share that differ in numbers and details only: the first words.
func (m message) kind() string {
	words := strings.Fields(digits.ReplaceAllString(remarks.ReplaceAllString(m.statement, ""), ""))
	return message{does: m.does, statement: strings.Join(words[:min(6, len(words))], " ")}.String()
}

// wire passes bytes between a program and PostgreSQL and sees the program's messages.
type wire struct {
	listener net.Listener
	server   string
	// sees is told each message, one at a time, after it was passed on and before the server's answer is. True cuts the wire.
	sees        func(message) bool
	cut, killed chan struct{}
	once        sync.Once

	mu         sync.Mutex
	open, most int // connections
}

func newWire(t *testing.T, database string, sees func(message) bool) (*wire, string) {
	at, err := url.Parse(database)
	require.NoError(t, err)
	w := &wire{server: at.Host, sees: sees, cut: make(chan struct{}), killed: make(chan struct{})}
	w.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { w.listener.Close() })
	at.Host = w.listener.Addr().String()
	go func() {
		for {
			client, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.pass(client)
		}
	}()
	return w, at.String()
}

func (w *wire) count(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += change
	w.most = max(w.most, w.open)
}

// wait returns when all connections have ended, and all that was said has been seen.
func (w *wire) wait(t *testing.T) {
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.open == 0
	}, time.Minute, time.Millisecond)
}

func (w *wire) look(m message) (cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sees(m)
}

func (w *wire) pass(client net.Conn) {
	w.count(1)
	defer w.count(-1)
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(client, header[:4]); err != nil { // the startup message has no type
		return
	}
	startup := make([]byte, binary.BigEndian.Uint32(header)-4)
	if _, err := io.ReadFull(client, startup); err != nil {
		return
	}
	_, _ = server.Write(append(header[:4:4], startup...))
	last := "" // statement
	for {
		if _, err := io.ReadFull(client, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if _, err := server.Write(append(bytes.Clone(header), body...)); err != nil {
			return
		}
		// https://www.postgresql.org/docs/current/protocol-message-formats.html
		text, rest, _ := strings.Cut(string(body), "\x00")
		m := message{}
		switch header[0] {
		case 'Q':
			last = text
		case 'P':
			m.does, m.name = "parse", text
			last, _, _ = strings.Cut(rest, "\x00")
		case 'E':
			m.does, m.name = "execute", text
		case 'd':
			m.does = "rows of"
		case 'c':
			m.does = "end of"
		default:
			continue
		}
		m.statement = last
		if w.look(m) {
			w.once.Do(func() { close(w.cut) })
			<-w.killed // the program meets its end waiting, not an error
			return
		}
	}
}
