package vectorstore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// loaderURL makes the test's program a loader of the run into that database: what is killed is a process of its own.
const (
	loaderURL = "MILLRACE_TEST_LOADER_URL"
	loaderRun = "MILLRACE_TEST_LOADER_RUN"
)

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
		_, err = store.LoadIndexed(context.Background(), killed(os.Getenv(loaderRun)), 100, .95)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killed is a model whose loaders are killed: with users, co-occurrences and an index, and as many items as its run says.
func killed(run string) vectorstore.Model {
	m := large(run)
	all := m.Items
	m.ItemCount, _ = strconv.ParseInt(run, 10, 64)
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

// runLoader starts a loader and kills it after the first message of which sees says so, whose effect the server may have had. False is that the
// loader was done before.
func runLoader(t *testing.T, database, run string, sees func(message) bool) (killed bool) {
	w, through := newWire(t, database, sees)
	defer w.wait(t)
	loader := exec.CommandContext(t.Context(), os.Args[0])
	loader.Env = append(os.Environ(), loaderURL+"="+through, loaderRun+"="+run)
	var said bytes.Buffer
	loader.Stderr = &said
	require.NoError(t, loader.Start())
	done := make(chan error, 1)
	go func() { done <- loader.Wait() }()
	select {
	case err := <-done:
		require.NoError(t, err, said.String())
		return false
	case <-w.cut:
		require.NoError(t, loader.Process.Kill())
		<-done
		close(w.killed)
		return true
	}
}

// point is a message to kill a loader at: so many of its kind were before.
type point struct {
	kind   string
	before int
}

func everyMessage() bool { return os.Getenv("MILLRACE_KILL_EVERY") == "1" }

// points are the first messages of each kind among those from the given one on; with MILLRACE_KILL_EVERY=1 all messages.
func points(said []message, from int) (list []point) {
	before, met := map[string]int{}, map[string]bool{}
	for n, m := range said {
		kind := m.kind()
		// What is parsed has no effect yet.
		if everyMessage() || n >= from && m.does != "parse" && !met[kind] {
			met[kind], list = true, append(list, point{kind, before[kind]})
		}
		before[kind]++
	}
	return list
}

func (p point) kill(t *testing.T, database, run string) {
	before := -1
	require.True(t, runLoader(t, database, run, func(m message) bool {
		if m.kind() == p.kind {
			before++
		}
		return before == p.before
	}), "%v is not said again", p)
}

// listen returns what a loader says that is left alone, and how much of it is the migration.
func listen(t *testing.T, database, run string) (said []message, migration int) {
	require.False(t, runLoader(t, database, run, func(m message) bool {
		said = append(said, m)
		return false
	}))
	return said, 1 + slices.IndexFunc(said, func(m message) bool { return m.statement == "commit" })
}

// rest waits until no connection does anything: the server notices at its next word to a loader that is gone.
func (b bundle) rest(t *testing.T) {
	require.Eventually(t, func() bool {
		return b.column(t, `select count(*)::text from pg_stat_activity where datname = current_database() and application_name = 'millrace' and state <> 'idle'`)[0] == "0"
	}, time.Minute, 20*time.Millisecond)
}

// requireKinds wants a point at a message that begins with each of the texts.
func requireKinds(t *testing.T, list []point, texts ...string) {
	for _, text := range texts {
		require.True(t, slices.ContainsFunc(list, func(p point) bool { return strings.HasPrefix(p.kind, text) }), "none at %s: %v", text, list)
	}
}

func TestALoaderThatIsKilledAtAnyStatementLeavesTheActiveVersionAndNoTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := 300
	_, err := b.store.LoadIndexed(b.ctx, killed(fmt.Sprint(run)), 100, .95)
	require.NoError(t, err)
	run++
	_, err = b.store.LoadIndexed(b.ctx, killed(fmt.Sprint(run)), 100, .95)
	require.NoError(t, err)
	run++
	said, migration := listen(t, b.url, fmt.Sprint(run))
	list := points(said, migration)
	requireKinds(t, list, "begin", "execute select pg_advisory_xact_lock", "execute insert into millrace.model_version", `create table "millrace"."item_v"`, `copy "millrace"."item_v"`,
		`rows of copy "millrace"."item_v"`, `end of copy "millrace"."user_v"`, `alter table "millrace"."item_v" add`, `analyze "millrace"."item_v"`, `create table "millrace"."cooccurrence_v"`,
		`create index on "millrace"."item_v" using hnsw`, "execute select array(select", "execute select sum(pg_prewarm", "execute update millrace.active_model", "commit", `drop table "millrace"."item_v"`)
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	committed := 0
	for _, p := range list { // one after the other in one database: a crash may follow a crash
		run++
		before, version := active, fmt.Sprintf("%d-abc", run)
		p.kill(t, b.url, fmt.Sprint(run))
		b.rest(t)
		active, err = b.store.Active(b.ctx)
		require.NoError(t, err)
		tables, items := []int{6}, run-1
		if active != before { // the end of the transaction was on its way
			require.Equal(t, version, active.Version, p)
			tables, items = []int{9, 8, 7, 6}, run // as many as it had not dropped yet
			committed++
		}
		require.Contains(t, tables, len(b.tables(t)), p)
		found, err := b.store.Items(b.ctx, active, "", "")
		require.NoError(t, err, p)
		require.Len(t, found.IDs, items, p)

		_, err = b.store.LoadIndexed(b.ctx, killed(fmt.Sprint(run)), 100, .95) // the same again
		require.NoError(t, err, p)
		active, err = b.store.Active(b.ctx)
		require.NoError(t, err)
		require.Equal(t, version, active.Version, p)
		require.Equal(t, []string{"active 1", fmt.Sprint("retired ", run-300)}, b.column(t, `select state || ' ' || count(*) from millrace.model_version group by state order by state`), p)
		require.Len(t, b.tables(t), 6, p)
		t.Logf("killed at %q after %d such", p.kind, p.before)
	}
	t.Logf("figures: %d kills in loads of %d messages, %d of them after the commit was sent", len(list), len(said), committed)
	require.Positive(t, committed)
}

func TestALoaderThatIsKilledAtAnyStatementOfTheMigrationLeavesADatabaseThatCanBeMigrated(t *testing.T) {
	t.Parallel()
	b := bundle{ctx: t.Context(), url: postgrestest.Database(t)}
	said, migration := listen(t, b.url, "300")
	said = said[:migration]
	list := points(said, 0)
	requireKinds(t, list, "begin", "execute select pg_advisory_xact_lock", "create extension if not exists vector", "create schema if not exists", "create table millrace.model_version",
		"create table millrace.activation", "do $$ begin", "create table millrace.experiment", "alter table millrace.model_version", "execute insert into millrace.schema_migration", "commit")
	const migrations = `select count(*)::text from millrace.schema_migration`
	all := b.column(t, migrations)
	committed := 0
	for _, p := range list {
		postgrestest.Exec(t, b.url, `drop schema millrace cascade; drop extension vector cascade; drop extension if exists pg_prewarm`)
		p.kill(t, b.url, "300")
		b.rest(t)
		if b.column(t, `select (to_regnamespace('millrace') is not null)::text`)[0] == "true" {
			require.Equal(t, all, b.column(t, migrations), p)
			committed++
		}
		b.store = open(t, b.url)
		require.NoError(t, b.store.Migrate(b.ctx), p) // the same again
		require.Equal(t, all, b.column(t, migrations), p)
		b.load(t, "1")
		b.store.Close()
		t.Logf("killed at %q after %d such", p.kind, p.before)
	}
	t.Logf("figures: %d kills in migrations of %d messages, %d of them after the commit was sent", len(list), len(said), committed)
}
