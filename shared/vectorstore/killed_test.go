package vectorstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/vectorstore"
)

// loaderURL makes the test's program a loader of run 2 into that database: what is killed is a process of its own.
const loaderURL = "MILLRACE_TEST_LOADER_URL"

func TestMain(m *testing.M) {
	at := os.Getenv(loaderURL)
	if at == "" {
		os.Exit(m.Run())
	}
	store, err := vectorstore.Open(context.Background(), vectorstore.URL(at))
	if err == nil {
		err = store.Migrate(context.Background())
	}
	if err == nil {
		_, err = store.LoadIndexed(context.Background(), killed(), 100, .95)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killed is the model whose loaders are killed: with users, co-occurrences and an index.
func killed() vectorstore.Model {
	m := large("2")
	all := m.Items
	m.ItemCount = 300
	m.Items = func(yield func(vectorstore.Entity, error) bool) {
		left := m.ItemCount
		for e, err := range all {
			if left == 0 || !yield(e, err) {
				return
			}
			left--
		}
	}
	m.Users, m.UserCount = entities(vectorstore.Entity{ID: "103", Embedding: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Bought: []int32{1}}), 1
	m.Cooccurrences = func(yield func(vectorstore.Neighbours, error) bool) {
		yield(vectorstore.Neighbours{Item: 1, Others: []int32{0}, Strengths: []float32{.25}}, nil)
	}
	return m
}

// wire passes bytes between a loader and PostgreSQL and sees the loader's messages.
type wire struct {
	listener net.Listener
	server   string
	// sees is told each statement, and each copied block, after it was passed on and before the server's answer is. True cuts the wire.
	sees        func(statement string) bool
	cut, killed chan struct{}
	once        sync.Once
}

func newWire(t *testing.T, database string, sees func(string) bool) (*wire, string) {
	at, err := url.Parse(database)
	require.NoError(t, err)
	w := &wire{server: at.Host, sees: sees, cut: make(chan struct{}), killed: make(chan struct{})}
	w.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { w.listener.Close() })
	at.Host = w.listener.Addr().String()
	go func() {
		for {
			loader, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.pass(loader)
		}
	}()
	return w, at.String()
}

func (w *wire) pass(loader net.Conn) {
	defer loader.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(loader, server)
		loader.Close()
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(loader, header[:4]); err != nil { // the startup message has no type
		return
	}
	message := make([]byte, binary.BigEndian.Uint32(header)-4)
	if _, err := io.ReadFull(loader, message); err != nil {
		return
	}
	_, _ = server.Write(append(header[:4:4], message...))
	for {
		if _, err := io.ReadFull(loader, header); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(loader, message); err != nil {
			return
		}
		if _, err := server.Write(append(bytes.Clone(header), message...)); err != nil {
			return
		}
		statement := ""
		switch header[0] { // https://www.postgresql.org/docs/current/protocol-message-formats.html
		case 'Q':
			statement, _, _ = strings.Cut(string(message), "\x00")
		case 'P': // after the name of the statement
			statement, _, _ = strings.Cut(string(message[bytes.IndexByte(message, 0)+1:]), "\x00")
		case 'd', 'c', 'E':
			statement = map[byte]string{'d': "copied rows", 'c': "end of copied rows", 'E': "execute"}[header[0]]
		}
		if statement != "" && w.sees(statement) {
			w.once.Do(func() { close(w.cut) })
			<-w.killed // the loader meets its end waiting, not an error
			return
		}
	}
}

// loadAndKill starts a loader and kills it after its n-th message, whose effect the server may have had. It returns what that said; "" if the
// loader was done before.
func loadAndKill(t *testing.T, database string, n int) string {
	var mutex sync.Mutex
	seen, last := 0, ""
	w, through := newWire(t, database, func(statement string) bool {
		mutex.Lock()
		defer mutex.Unlock()
		seen++
		last = statement
		return seen == n
	})
	loader := exec.CommandContext(t.Context(), os.Args[0])
	loader.Env = append(os.Environ(), loaderURL+"="+through)
	var said bytes.Buffer
	loader.Stderr = &said
	require.NoError(t, loader.Start())
	done := make(chan error, 1)
	go func() { done <- loader.Wait() }()
	select {
	case err := <-done:
		require.NoError(t, err, said.String())
		return ""
	case <-w.cut:
		require.NoError(t, loader.Process.Kill())
		<-done
		close(w.killed)
	}
	mutex.Lock()
	defer mutex.Unlock()
	return last
}

func TestALoaderThatIsKilledAtAnyStatementLeavesTheActiveVersionAndNoTables(t *testing.T) {
	t.Parallel()
	// All statements take a minute: every fifth is killed at, another one each time; all of them with MILLRACE_KILL_EVERY=1.
	every, from := 5, 1+int(time.Now().UnixNano()%5)
	if os.Getenv("MILLRACE_KILL_EVERY") == "1" {
		every, from = 1, 1
	}
	t.Logf("seed: from statement %d", from)
	kills, committed := 0, 0
	for n := from; ; n += every {
		b := setup(t)
		b.load(t, "0")
		before := b.load(t, "1")
		stage := loadAndKill(t, b.url, n)
		if stage == "" {
			break
		}
		kills++
		// The server notices at its next word to the loader.
		require.Eventually(t, func() bool {
			return b.column(t, `select count(*)::text from pg_stat_activity where datname = current_database() and application_name = 'millrace' and state <> 'idle'`)[0] == "0"
		}, time.Minute, 20*time.Millisecond)
		active, err := b.store.Active(b.ctx)
		require.NoError(t, err)
		want := []int{4}
		if active != before { // the end of the transaction was on its way
			require.Equal(t, "2-abc", active.Version, stage)
			want, committed = []int{7, 6, 5}, committed+1 // as many as it had not dropped yet
		}
		require.Contains(t, want, len(b.tables(t)), stage)
		list, err := b.store.Items(b.ctx, active, "", "")
		require.NoError(t, err, stage)
		require.Len(t, list.IDs, map[bool]int{true: 2, false: 300}[active == before], stage)

		_, err = b.store.LoadIndexed(b.ctx, killed(), 100, .95) // the same again
		require.NoError(t, err, stage)
		active, err = b.store.Active(b.ctx)
		require.NoError(t, err)
		require.Equal(t, "2-abc", active.Version, stage)
		require.Equal(t, []string{"active", "retired", "retired"}, b.column(t, `select state from millrace.model_version order by state`), stage)
		require.Len(t, b.tables(t), 5, stage)
		t.Logf("killed after message %d: %.60s", n, strings.Join(strings.Fields(stage), " "))
	}
	t.Logf("figures: %d kills, %d of them after the commit was sent", kills, committed)
	require.Greater(t, kills, 10)
}
