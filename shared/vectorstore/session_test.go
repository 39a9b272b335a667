package vectorstore_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

var (
	ofSession  = regexp.MustCompile(`(?i)\b(pg_(try_)?advisory_lock|create (local |global )?temp|nextval|setval)`)
	settings   = regexp.MustCompile(`(?i)\bset_config\(`)
	settingsTx = regexp.MustCompile(`(?i)\bset_config\([^()]*, true\)`)
)

// pinned says why RDS Proxy would keep a connection for one client after such a message, "" if it would not:
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
func pinned(m message) string {
	if m.name != "" {
		return "a named statement or portal"
	}
	if len(m.statement) > 16<<10 {
		return "more than 16 KB"
	}
	if ofSession.MatchString(m.statement) || len(settings.FindAllString(m.statement, -1)) != len(settingsTx.FindAllString(m.statement, -1)) {
		return "state of the session"
	}
	for part := range strings.SplitSeq(strings.ToLower(m.statement), ";") {
		switch words := append(strings.Fields(part), "", ""); words[0] {
		case "set":
			if words[1] != "local" {
				return "a setting of the session"
			}
		case "reset", "discard", "prepare", "execute", "deallocate", "declare", "listen", "load":
			return words[0]
		}
	}
	return ""
}

func TestWhatPinsAConnectionIsFound(t *testing.T) {
	t.Parallel()
	for _, m := range []message{
		{"parse", "stmt_1", "select 1"}, {"", "", "set search_path = millrace"}, {"", "", "begin; SET SESSION x = 1"}, {"", "", "reset all"},
		{"parse", "", "select set_config('a', 'b', false)"}, {"parse", "", "select set_config('a', 'b', true), set_config('a', $1, $2)"},
		{"parse", "", "select pg_advisory_lock($1)"}, {"", "", "create temporary table t ()"}, {"", "", "select '" + strings.Repeat("x", 16<<10) + "'"},
	} {
		require.NotEmpty(t, pinned(m), m)
	}
	for _, text := range []string{"set local lock_timeout = '5s'", "select pg_advisory_xact_lock($1)", "select set_config('a', $1, true)", "update t set a = 1", "copy t from stdin"} {
		require.Empty(t, pinned(message{statement: text}))
	}
}

func TestEightCallersShareTwoConnectionsThatAProxyMayShareToo(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	kinds, pins := map[string]bool{}, map[string]string{}
	w, through := newWire(t, database, func(m message) bool {
		kinds[m.kind()] = true
		if why := pinned(m); why != "" {
			pins[m.kind()] = why
		}
		return false
	})
	b := bundle{ctx: t.Context(), url: database, store: open(t, through)}
	require.NoError(t, b.store.Migrate(b.ctx))
	for _, run := range []string{"300", "301"} {
		_, err := b.store.LoadIndexed(b.ctx, killed(run), 100, .95)
		require.NoError(t, err)
	}
	_, err := b.store.StartExperiment(b.ctx, "300-abc", "301-abc", .5, "me")
	require.NoError(t, err)
	_, err = b.store.WeighExperiment(b.ctx, .6, "me")
	require.NoError(t, err)
	_, err = b.store.StopExperiment(b.ctx, "seen enough")
	require.NoError(t, err)

	columns := vectorstore.Columns{Stock: "stock", Category: "line"}
	search := []vectorstore.Search{{Vector: make([]float32, 8), Candidates: 5, Seed: "1", Similar: 5}, {Candidates: 5, Similar: 5, PerCategory: 2}}
	calls := map[string]func(r vectorstore.Reference, caller int) error{
		"serving": func(vectorstore.Reference, int) error { _, err := b.store.Serving(b.ctx); return err },
		"encoder": func(r vectorstore.Reference, _ int) error { _, err := b.store.Encoder(b.ctx, r); return err },
		"count":   func(r vectorstore.Reference, _ int) error { _, err := b.store.ItemCount(b.ctx, r); return err },
		"items": func(r vectorstore.Reference, _ int) error {
			_, err := b.store.Items(b.ctx, r, "stock", "line")
			return err
		},
		"together": func(r vectorstore.Reference, _ int) error { _, err := b.store.Cooccurrences(b.ctx, r, 300); return err },
		"users": func(r vectorstore.Reference, _ int) error {
			_, err := b.store.Users(b.ctx, r, []string{"103"})
			return err
		},
		"some items": func(r vectorstore.Reference, _ int) error {
			_, _, err := b.store.ItemsByID(b.ctx, r, columns, []string{"1", "2"}, true)
			return err
		},
		"search by index": func(r vectorstore.Reference, _ int) error {
			width, err := b.store.SearchWidth(b.ctx, r)
			if err == nil {
				_, err = b.store.Search(b.ctx, r, columns, search, width)
			}
			return err
		},
		"search of all": func(r vectorstore.Reference, _ int) error {
			_, err := b.store.Search(b.ctx, r, columns, search, vectorstore.Exhaustive)
			return err
		},
		"record": func(_ vectorstore.Reference, caller int) error {
			return b.store.RecordActivity(b.ctx, []vectorstore.Activity{{User: "103", EventID: fmt.Sprint(caller), HappenedAt: time.Now(), Items: []vectorstore.Seen{{Item: "1"}}}})
		},
		"recent": func(vectorstore.Reference, int) error {
			_, err := b.store.Recent(b.ctx, "103", time.Time{}, 20)
			return err
		},
		"versions": func(vectorstore.Reference, int) error { _, err := b.store.Versions(b.ctx); return err },
		"last":     func(vectorstore.Reference, int) error { _, err := b.store.LastActivation(b.ctx); return err },
		"load again": func(vectorstore.Reference, int) error {
			_, err := b.store.Load(b.ctx, killed("301"))
			return err
		},
	}
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for range 5 {
				for name, call := range calls { // each in an order of its own
					if err := call(active, caller); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
	callers.Wait()
	_, _, err = b.store.Rollback(b.ctx, "me", "worse")
	require.NoError(t, err)
	_, err = b.store.Promote(b.ctx, killed("302"), vectorstore.Promotion{By: "me", Reason: "better"})
	require.NoError(t, err)
	require.NoError(t, b.store.Reject(b.ctx, killed("303"), "worse"))
	b.store.Close()
	w.wait(t)
	t.Logf("figures: %d kinds of messages of 8 callers over at most %d connections", len(kinds), w.most)
	require.Empty(t, pins)
	require.Equal(t, 2, w.most)
	require.Greater(t, len(kinds), 100)
}
