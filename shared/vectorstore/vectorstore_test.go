package vectorstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

type bundle struct {
	ctx   context.Context
	url   string
	store *vectorstore.Store
}

func setup(t *testing.T) bundle {
	b := bundle{ctx: t.Context(), url: postgrestest.Database(t)}
	b.store = open(t, b.url)
	require.NoError(t, b.store.Migrate(b.ctx))
	return b
}

func open(t *testing.T, url string) *vectorstore.Store {
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(url))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store
}

// column asks for one value a row, on a connection of its own.
func (b bundle) column(t *testing.T, sql string) []string {
	conn, err := pgx.Connect(b.ctx, b.url)
	require.NoError(t, err)
	defer conn.Close(b.ctx)
	rows, err := conn.Query(b.ctx, sql)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// holds begins a transaction of another session with a statement, and returns what commits it.
func (b bundle) holds(t *testing.T, sql string) (commit func()) {
	conn, err := pgx.Connect(b.ctx, b.url)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(b.ctx)) })
	_, err = conn.Exec(b.ctx, "begin; "+sql)
	require.NoError(t, err)
	return func() {
		_, err := conn.Exec(b.ctx, "commit")
		require.NoError(t, err)
	}
}

// waits returns when a session waits for a lock, with a statement that begins so.
func (b bundle) waits(t *testing.T, statement string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return b.column(t, `select count(*)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '`+statement+`%'`)[0] == "1"
	}, 10*time.Second, time.Millisecond, "%s… waits for a lock", statement)
}

func (b bundle) tables(t *testing.T) []string {
	return b.column(t, `select relname::text from pg_class where relnamespace = 'millrace'::regnamespace and relkind = 'r' and relname ~ '_v[0-9]' order by 1`)
}

func entities(list ...vectorstore.Entity) iter.Seq2[vectorstore.Entity, error] {
	return func(yield func(vectorstore.Entity, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// model is a small valid one; its name begins with its run.
func model(run string) vectorstore.Model {
	return vectorstore.Model{
		Version: run + "-abc", Dataset: "shop", Run: run, ManifestKey: "models/" + run + "/manifest.json", ManifestSHA256: "sha of " + run,
		Dimension: 2, Distance: "inner_product", Metrics: json.RawMessage(`{"recall":0.5}`), Encoder: json.RawMessage(`{"dimension": 2}`),
		Items: entities(
			vectorstore.Entity{ID: "b", Name: "Łódź", Embedding: []float32{1, 0}, Bias: 2, Features: map[string]string{"line": "Ships"}},
			vectorstore.Entity{ID: "B", Name: "upper", Embedding: []float32{0, 1}, Bias: 1, Cold: true},
		), ItemCount: 2,
		Users: entities(
			vectorstore.Entity{ID: "103", Name: "Atelier", Embedding: []float32{0.1, -3e-8}, Bought: []int32{0, 1}},
			vectorstore.Entity{ID: "104", Embedding: []float32{5, 6}, Cold: true},
		), UserCount: 2,
	}
}

func (b bundle) load(t *testing.T, run string) vectorstore.Reference {
	out, err := b.store.Load(b.ctx, model(run))
	require.NoError(t, err)
	require.True(t, out.Activated, out.Reason)
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	require.Equal(t, run+"-abc", active.Version)
	return active
}

func TestWhatIsLoadedIsReadBackExactly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	active := b.load(t, "1")
	require.Equal(t, 2, active.Dimension)
	list, err := b.store.Items(b.ctx, active, "stock", "line")
	require.NoError(t, err)
	require.Equal(t, vectorstore.Items{
		IDs: []string{"B", "b"}, Names: []string{"upper", "Łódź"}, Embeddings: []float32{0, 1, 1, 0}, Bias: []float32{1, 2},
		Stock: []string{"", ""}, Category: []string{"", "Ships"},
	}, list)
	list, err = b.store.Items(b.ctx, active, "", "")
	require.NoError(t, err)
	require.Nil(t, list.Stock)
	require.Nil(t, list.Category)
	found, err := b.store.Users(b.ctx, active, []string{"103", "104", "nobody"})
	require.NoError(t, err)
	require.Equal(t, map[string]vectorstore.User{
		"103": {Embedding: []float32{0.1, -3e-8}, Bought: []int32{0, 1}}, "104": {Embedding: []float32{5, 6}, Cold: true, Bought: []int32{}},
	}, found)
	encoder, err := b.store.Encoder(b.ctx, active)
	require.NoError(t, err)
	require.Equal(t, `{"dimension": 2}`, string(encoder))
	require.Equal(t, []string{"b 1-abc"}, b.column(t, `select e.id || ' ' || v.version from millrace.item_emb e join millrace.model_version v using (n) where e.features->>'line' = 'Ships'`))
}

func TestCooccurrencesAreReadBackAndGoWithTheirVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := model("1")
	m.Cooccurrences = func(yield func(vectorstore.Neighbours, error) bool) {
		yield(vectorstore.Neighbours{Item: 1, Others: []int32{0}, Strengths: []float32{.25}}, nil)
	}
	_, err := b.store.Load(b.ctx, m)
	require.NoError(t, err)
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	table, err := b.store.Cooccurrences(b.ctx, active, 3)
	require.NoError(t, err)
	require.Equal(t, 3, table.Len())
	require.Equal(t, []float32{0, .25, 0}, []float32{table.Strength(0, 1), table.Strength(1, 0), table.Strength(2, 0)})
	b.load(t, "2")
	b.load(t, "3")
	_, err = b.store.Cooccurrences(b.ctx, active, 3)
	require.ErrorIs(t, err, vectorstore.ErrGone)
	require.NotContains(t, b.tables(t), "cooccurrence_v1")
}

func TestVersionsSayWhatBecameOfEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	b.load(t, "2")
	require.NoError(t, b.store.Reject(b.ctx, model("3"), "not better than popularity"))
	versions, err := b.store.Versions(b.ctx)
	require.NoError(t, err)
	require.Len(t, versions, 3)
	require.Equal(t, []string{"rejected", "active", "retired"}, []string{versions[0].State, versions[1].State, versions[2].State})
	require.Equal(t, "not better than popularity", versions[0].Reason)
	require.Nil(t, versions[0].ActivatedAt)
	require.True(t, versions[2].Previous)
	require.JSONEq(t, `{"recall":0.5}`, string(versions[1].Metrics))
	text, err := json.Marshal(versions[0])
	require.NoError(t, err)
	require.Contains(t, string(text), `"state":"rejected"`)
}

func TestSecondDeliveryOfAManifestChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	before := b.column(t, `select md5(string_agg(v::text, '' order by n)) from millrace.model_version v`)
	out, err := b.store.Load(b.ctx, model("1"))
	require.NoError(t, err)
	require.False(t, out.Activated)
	require.Contains(t, out.Reason, "already loaded, and active")
	require.Equal(t, before, b.column(t, `select md5(string_agg(v::text, '' order by n)) from millrace.model_version v`))
	require.Len(t, b.tables(t), 2)
}

func TestOlderRunDoesNotReplaceTheActiveOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "2")
	out, err := b.store.Load(b.ctx, model("1"))
	require.NoError(t, err)
	require.False(t, out.Activated)
	require.Contains(t, out.Reason, "run 1 is older than 2")
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "2-abc", active.Version)
	require.Len(t, b.tables(t), 2)
}

func TestAVersionNeverChangesItsContent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	other := model("1")
	other.ManifestSHA256 = "something else"
	_, err := b.store.Load(b.ctx, other)
	var defect *vectorstore.Defect
	require.ErrorAs(t, err, &defect)
	require.ErrorContains(t, err, "a version never changes")
}

func TestOnlyThePreviousVersionIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.load(t, "1")
	b.load(t, "2")
	require.Len(t, b.tables(t), 4)
	postgrestest.Exec(t, b.url, `create table millrace.item_v999 (id text)`) // left by some accident
	third, err := b.store.Load(b.ctx, model("3"))
	require.NoError(t, err)
	require.Len(t, third.Dropped, 3)
	require.Len(t, b.tables(t), 4)
	_, err = b.store.Items(b.ctx, first, "", "")
	require.ErrorIs(t, err, vectorstore.ErrGone)
	_, err = b.store.Users(b.ctx, first, []string{"103"})
	require.ErrorIs(t, err, vectorstore.ErrGone)
}

func TestRollbackReturnsToThePreviousVersionAndBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, err := b.store.Rollback(b.ctx, "me", "it was better")
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
	b.load(t, "1")
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.ErrorIs(t, err, vectorstore.ErrNoPrevious)
	b.load(t, "2")
	from, to, err := b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
	require.Equal(t, []string{"2-abc", "1-abc"}, []string{from.Version, to.Version})
	require.Equal(t, []string{"1-abc"}, b.column(t, `select distinct v.version from millrace.item_emb e join millrace.model_version v using (n)`), "the views follow")
	out, err := b.store.Load(b.ctx, model("2"))
	require.NoError(t, err)
	require.False(t, out.Activated, "a second delivery must not undo a rollback")
	_, to, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
	require.Equal(t, "2-abc", to.Version)
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
	b.load(t, "3")
	require.Len(t, b.tables(t), 4)
	_, to, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
	require.Equal(t, "1-abc", to.Version)
}

func TestCorruptArtifactLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	fine := vectorstore.Entity{ID: "z", Embedding: []float32{1, 2}}
	item := func(e vectorstore.Entity) func(*vectorstore.Model) {
		return func(m *vectorstore.Model) { m.Items = entities(e, fine) }
	}
	user := func(e vectorstore.Entity) func(*vectorstore.Model) {
		return func(m *vectorstore.Model) { m.Users = entities(e, fine) }
	}
	for name, c := range map[string]struct {
		spoil  func(*vectorstore.Model)
		reason string
	}{
		"source fails half way": {func(m *vectorstore.Model) {
			m.Users = func(yield func(vectorstore.Entity, error) bool) {
				_ = yield(fine, nil) && yield(vectorstore.Entity{}, &vectorstore.Defect{Err: errors.New("checksum")})
			}
		}, "checksum"},
		"wrong dimension":                {item(vectorstore.Entity{ID: "a", Embedding: []float32{1, 2, 3}}), `id "a" has an embedding of 3 numbers, the manifest says 2`},
		"NaN":                            {user(vectorstore.Entity{ID: "a", Embedding: []float32{float32(math.NaN()), 1}}), `id "a" has an embedding of length NaN`},
		"infinity":                       {user(vectorstore.Entity{ID: "a", Embedding: []float32{float32(math.Inf(1)), 1}}), `id "a" has an embedding of length +Inf`},
		"all zero":                       {item(vectorstore.Entity{ID: "a", Embedding: []float32{0, 0}}), `id "a" has an embedding of length 0`},
		"so short that products vanish":  {user(vectorstore.Entity{ID: "a", Embedding: []float32{1e-20, 0}}), `id "a" has an embedding of length 1e-20`},
		"so long that products overflow": {user(vectorstore.Entity{ID: "a", Embedding: []float32{1e20, 0}}), `id "a" has an embedding of length 1e+20`},
		"no id":                          {user(vectorstore.Entity{Embedding: []float32{1, 2}}), `id "" has 0 bytes`},
		"a long id":                      {user(vectorstore.Entity{ID: strings.Repeat("a", 1025), Embedding: []float32{1, 2}}), `has 1025 bytes, want 1 to 1024`},
		"a long name":                    {user(vectorstore.Entity{ID: "a", Name: strings.Repeat("a", 64<<10+1), Embedding: []float32{1, 2}}), `id "a" has a name of 65537 bytes`},
		"id twice":                       {item(fine), "Key (id)=(z) is duplicated"},
		"NUL in an id":                   {item(vectorstore.Entity{ID: "a\x00", Embedding: []float32{1, 2}}), "0x00"},
		"fewer rows":                     {func(m *vectorstore.Model) { m.ItemCount = 3 }, "2 rows, the manifest says 3"},
		"more rows":                      {func(m *vectorstore.Model) { m.UserCount = 1 }, "2 rows, the manifest says 1"},
		"16,001 dimensions":              {func(m *vectorstore.Model) { m.Dimension = 16001 }, "pgvector holds 1 to 16000"},
		"dimension below one":            {func(m *vectorstore.Model) { m.Dimension = 0 }, "pgvector holds 1 to 16000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.load(t, "1")
			m := model("2")
			c.spoil(&m)
			_, err := b.store.Load(b.ctx, m)
			var defect *vectorstore.Defect
			require.ErrorAs(t, err, &defect)
			require.ErrorContains(t, err, "2-abc")
			require.ErrorContains(t, err, c.reason)
			active, err := b.store.Active(b.ctx)
			require.NoError(t, err)
			require.Equal(t, "1-abc", active.Version)
			require.Len(t, b.tables(t), 2)

			require.NoError(t, b.store.Reject(b.ctx, m, defect.Error()))
			require.NoError(t, b.store.Reject(b.ctx, m, defect.Error()))
			b.load(t, "2") // repaired
		})
	}
}

func TestTroubleWhileReadingIsNotTheArtifactsFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost := errors.New("connection lost")
	m := model("1")
	m.Items = func(yield func(vectorstore.Entity, error) bool) { yield(vectorstore.Entity{}, lost) }
	_, err := b.store.Load(b.ctx, m)
	require.ErrorIs(t, err, lost)
	var defect *vectorstore.Defect
	require.NotErrorAs(t, err, &defect)
}

func TestAnActiveVersionIsNotRejectedAfterwards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	require.NoError(t, b.store.Reject(b.ctx, model("1"), "a late delivery"))
	versions, err := b.store.Versions(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "active", versions[0].State)
}

func TestLoadersAtOnceActivateTheNewestRunOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var group sync.WaitGroup
	for n := range 8 {
		store := open(t, b.url)
		group.Go(func() {
			_, err := store.Load(b.ctx, model(fmt.Sprint(1+n/2))) // each of four runs twice
			require.NoError(t, err)
		})
	}
	group.Wait()
	active, err := b.store.Active(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "4-abc", active.Version)
	require.LessOrEqual(t, len(b.tables(t)), 4)
}

func TestAPointerThatMovedMeanwhileIsNotMovedAgain(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(bundle) error{
		"rollback": func(b bundle) error { _, _, err := b.store.Rollback(b.ctx, "me", "it was better"); return err },
		"load":     func(b bundle) error { _, err := b.store.Load(b.ctx, model("3")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.load(t, "1")
			b.load(t, "2")
			commit := b.holds(t, `update millrace.active_model set n = previous, previous = n`)
			moved := make(chan error, 1)
			go func() { moved <- move(b) }()
			b.waits(t, "") // for the row
			commit()
			require.ErrorIs(t, <-moved, vectorstore.ErrPointerMoved)
			now, err := b.store.Active(b.ctx)
			require.NoError(t, err)
			require.Equal(t, "1-abc", now.Version)
			require.Len(t, b.tables(t), 4)
		})
	}
}

func TestAKilledLoaderLeavesNoTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	ctx, kill := context.WithCancel(b.ctx)
	m := model("2")
	m.Users = func(yield func(vectorstore.Entity, error) bool) {
		kill() // the connection goes while items are already in
		yield(vectorstore.Entity{ID: "1", Embedding: []float32{1, 2}}, nil)
	}
	_, err := b.store.Load(ctx, m)
	require.Error(t, err)
	require.Eventually(t, func() bool { return len(b.tables(t)) == 2 }, 5*time.Second, 50*time.Millisecond)
	b.load(t, "2")
}

// large is a model of 2,000 items around 50 points.
func large(run string) vectorstore.Model {
	return scattered(run, 2000, 8, func(n, k int) float32 { return float32(n % 50 * (k + 3) % 7) })
}

// scattered is a model of so many items, each somewhere around its centre, and no users.
func scattered(run string, items, dimension int, centre func(n, k int) float32) vectorstore.Model {
	m := model(run)
	random := rand.New(rand.NewPCG(7, 7))
	m.Dimension, m.ItemCount = dimension, int64(items)
	m.Items = func(yield func(vectorstore.Entity, error) bool) {
		for n := range items {
			e := vectorstore.Entity{ID: fmt.Sprint(n), Embedding: make([]float32, dimension)}
			for k := range e.Embedding {
				e.Embedding[k] = centre(n, k) + float32(random.NormFloat64())
			}
			if !yield(e, nil) {
				return
			}
		}
	}
	m.Users, m.UserCount = entities(), 0
	return m
}

func TestLargeModelIsIndexedAndTheIndexMeasured(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, err := b.store.LoadIndexed(b.ctx, large("1"), 1000, .95)
	require.NoError(t, err)
	require.Contains(t, out.Index, "hnsw, ef_search 100, recall@10 of 200 probes: vector_ip_ops")
	require.Len(t, b.column(t, `select indexname::text from pg_indexes where schemaname = 'millrace' and indexdef like '%hnsw%'`), 2)
	plan := b.column(t, `explain select id from millrace.item_v1 order by embedding <=> '[1,0,0,0,0,0,0,0]' limit 5`)
	require.Contains(t, strings.Join(plan, "\n"), "embedding_idx")
	plan = b.column(t, `explain select id from millrace.item_v1 where ordinal <> all('{7,9}'::int[]) order by bias desc, ordinal limit 40`)
	require.NotContains(t, strings.Join(plan, "\n"), "Sort", "what is popular is not looked for among all items")
	require.Eventually(t, func() bool {
		scans := b.column(t, `select idx_scan::text from pg_stat_user_indexes where relname = 'item_v1' and indexrelname ~ 'embedding'`)
		return slices.Equal(scans, []string{"200", "200"})
	}, 10*time.Second, 50*time.Millisecond, "each index was asked for the neighbours of each probe")
}

func TestAFilteredIndexScanGoesOnUntilTheListIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, err := b.store.LoadIndexed(b.ctx, large("1"), 1000, .95)
	require.NoError(t, err)
	require.Contains(t, out.Index, "hnsw")
	postgrestest.Exec(t, b.url, `do $$ begin execute format('alter database %I set enable_seqscan = off', current_database()); end $$`)
	store := open(t, b.url)
	now, err := store.Active(b.ctx)
	require.NoError(t, err)
	list, err := store.Items(b.ctx, now, "", "")
	require.NoError(t, err)
	var hidden []int32
	for n := range int32(len(list.IDs)) {
		if n%20 != 0 {
			hidden = append(hidden, n)
		}
	}
	found, err := store.Search(b.ctx, now, vectorstore.Columns{}, []vectorstore.Search{{Vector: list.Embeddings[:now.Dimension], Hidden: hidden, Candidates: 40, Seed: list.IDs[0], Similar: 5}}, 100)
	require.NoError(t, err)
	require.Len(t, found[0].Candidates, 40, "of a hundred items that a scan looks at, 95 are hidden")
	for _, i := range found[0].Candidates {
		require.Zero(t, i.Ordinal%20)
	}
}

func TestActivityDoesNotDependOnOrderOrRepetition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	var ordered []vectorstore.Activity
	for n := range 70 {
		ordered = append(ordered, vectorstore.Activity{
			User: []string{"u", "v"}[n%10/9], EventID: fmt.Sprintf("shard:%03d", n), Session: "s", HappenedAt: start.Add(time.Duration(n/2) * time.Second),
			Items: []vectorstore.Seen{{Item: fmt.Sprint(n), Quantity: 2, InCart: true}},
		})
	}
	require.NoError(t, b.store.RecordActivity(b.ctx, ordered))
	state := `select user_id || ' ' || event_id || ' ' || happened_at::text || items::text from millrace.user_activity order by 1`
	want := b.column(t, state)
	require.Len(t, want, 50+7)
	latest, err := b.store.Recent(b.ctx, "u", start, 20)
	require.NoError(t, err)
	require.Equal(t, []vectorstore.Past{{Seen: vectorstore.Seen{Item: "68", Quantity: 2, InCart: true}, At: start.Add(34 * time.Second)}}, latest, "the latest event is the session")

	require.NoError(t, b.store.RecordActivity(b.ctx, ordered), "delivered again")
	require.Equal(t, want, b.column(t, state))

	other := setup(t)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range 2 {
		random.Shuffle(len(ordered), func(i, j int) { ordered[i], ordered[j] = ordered[j], ordered[i] })
		for from := 0; from < len(ordered); from += 9 {
			require.NoError(t, other.store.RecordActivity(other.ctx, ordered[from:min(from+9, len(ordered))]))
		}
	}
	require.Equal(t, want, other.column(t, state))
	latest, err = b.store.Recent(b.ctx, "u", start.Add(time.Hour), 20)
	require.NoError(t, err)
	require.Empty(t, latest, "nothing that recent")
}

func TestEmptyDatabaseSaysThatNothingIsLoaded(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	store := open(t, url)
	_, err := store.Active(t.Context())
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
	versions, err := store.Versions(t.Context())
	require.NoError(t, err)
	require.Empty(t, versions)
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, store.Migrate(t.Context()))
	_, err = store.Active(t.Context())
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
}

func TestMigrationsOfANewerMillraceAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	postgrestest.Exec(t, b.url, `insert into millrace.schema_migration (number, name) values (99, 'future')`)
	require.ErrorContains(t, b.store.Migrate(b.ctx), "a newer millrace has been here")
}

func TestMissingOrOldPgvectorIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ available, installed, remedy string }{
		"server has none":         {"", "", "postgresql-18-pgvector"},
		"server has an old one":   {"0.7.4", "", "the server has 0.7.4"},
		"database has an old one": {"0.8.6", "0.8.3", "ALTER EXTENSION vector UPDATE"},
		"both are old":            {"0.8.3", "0.8.0", "the server has 0.8.3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := vectorstore.CheckPgvector("shop", "18.6", c.available, c.installed)
			require.ErrorIs(t, err, vectorstore.ErrPgvector)
			require.ErrorContains(t, err, c.remedy)
		})
	}
	for _, good := range []string{"0.8.4", "0.8.10", "0.9.0", "1.0", "1.0.0"} {
		require.NoError(t, vectorstore.CheckPgvector("shop", "18.6", good, good), good)
	}
}

func TestOldPgvectorInTheDatabaseIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	postgrestest.Exec(t, b.url, `update pg_extension set extversion = '0.8.3' where extname = 'vector'`)
	require.ErrorIs(t, b.store.Migrate(b.ctx), vectorstore.ErrPgvector)
}

func TestUnreachableDatabaseIsNamedAndThePasswordIsNot(t *testing.T) {
	t.Parallel()
	store := open(t, "postgres://shop:hunter2@127.0.0.1:1/shop")
	_, err := store.Active(t.Context())
	require.ErrorContains(t, err, "127.0.0.1")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestCredentialsAreAskedForAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	asked := 0
	store, err := vectorstore.Open(t.Context(), func(context.Context) (string, error) {
		if asked++; asked == 1 {
			return "", errors.New("secret store is down")
		}
		return url, nil
	})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	_, err = store.Active(t.Context())
	require.ErrorContains(t, err, "secret store is down")
	_, err = store.Active(t.Context())
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
}
