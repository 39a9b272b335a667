package extract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
)

// invocation is what a process of its own extracts, as Lambda would run it, and where it is killed.
type invocation struct {
	DSN, Dir string
	Ranges   int
	Files    int    // that one invocation has the time to begin; 0: all
	Kill     effect // "": not at all
	At       int    // the how manieth of these side effects kills
	When     moment
	Wait     string // a file to wait for before the first side effect
}

// effect is a kind of side effect; each is one request to AWS.
type effect string

const (
	object     effect = "object"
	checkpoint effect = "checkpoint"
	manifest   effect = "manifest"
	removal    effect = "removal of the checkpoint"
	invoke     effect = "invoke"
)

type moment string

const (
	before moment = "before"
	during moment = "in the middle of" // an object only
	after  moment = "after"
)

const invocationVariable = "MILLRACE_TEST_INVOCATION"

// tiny limits: every section is a file of a few chunks.
var tiny = extract.Limits{FirstChunkRows: 50, ChunkBytes: 2000, FileBytes: 20_000, SectionRows: 400}

// runInvocation is the main function of such a process.
func runInvocation(text string) error {
	var i invocation
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return err
	}
	cfg, err := mysqltable.ParseDSN(i.DSN)
	if err != nil {
		return err
	}
	server, err := mysqltable.Open(cfg)
	if err != nil {
		return err
	}
	defer server.Close()
	store := &lethal{Store: lake.NewDirectory(filepath.Join(i.Dir, "lake")), invocation: i}
	e := &extract.Extractor{Server: server, Store: store, Limits: tiny, Ranges: i.Ranges}
	if i.Files > 0 {
		e.TimeLeft = func() time.Duration {
			if store.files.Load() >= int64(i.Files) {
				return 0
			}
			return time.Hour
		}
	}
	result, err := e.Extract(context.Background(), request("ratings"))
	if errors.Is(err, extract.ErrOvertaken) {
		return nil
	} else if err != nil || !result.Unfinished {
		return err
	}
	return store.around(invoke, func() error {
		return os.WriteFile(filepath.Join(i.Dir, fmt.Sprintf("event-%d", os.Getpid())), nil, 0o600)
	})
}

// lethal kills its own process at a side effect.
type lethal struct {
	lake.Store
	invocation
	files, met atomic.Int64
}

func (l *lethal) around(what effect, do func() error) error {
	for l.Wait != "" {
		if _, err := os.Stat(l.Wait); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	fatal := what == l.Kill && l.met.Add(1) == int64(l.At)
	l.kill(fatal && l.When == before)
	err := do()
	l.kill(fatal && l.When != before)
	return err
}

func (l *lethal) kill(now bool) {
	if now {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (l *lethal) Create(ctx context.Context, key string, r io.Reader) error {
	l.files.Add(1)
	return l.around(object, func() error {
		if l.Kill == object && l.When == during && l.met.Load() == int64(l.At) {
			r = io.MultiReader(io.LimitReader(r, 1000), &deadly{l})
		}
		return l.Store.Create(ctx, key, r)
	})
}

type deadly struct{ l *lethal }

func (d *deadly) Read([]byte) (int, error) { d.l.kill(true); return 0, nil }

func (l *lethal) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	what := checkpoint
	if strings.HasSuffix(key, "_MANIFEST.json") {
		what = manifest
	}
	return l.around(what, func() error { return l.Store.PutIf(ctx, key, body, etag) })
}

func (l *lethal) Delete(ctx context.Context, key string) error {
	return l.around(removal, func() error { return l.Store.Delete(ctx, key) })
}

// start starts an invocation as a process; wait tells whether it was killed.
func (i invocation) start(t *testing.T) (wait func() (killed bool)) {
	t.Helper()
	text, err := json.Marshal(i)
	require.NoError(t, err)
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), invocationVariable+"="+string(text))
	var output strings.Builder
	process.Stdout, process.Stderr = &output, &output
	require.NoError(t, process.Start())
	return func() bool {
		err := process.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return true
		}
		require.NoError(t, err, output.String())
		return false
	}
}

// deliver runs an event until it succeeds, and then those that it has sent, as Lambda does. Only the
// first attempt of each of the first events is killed.
func (i invocation) deliver(t *testing.T) (kills int) {
	t.Helper()
	for pending := 1; pending > 0; pending-- {
		if i.start(t)() {
			kills++
			pending++
			if i.At > 0 {
				i.Kill = ""
			}
		}
		events, err := filepath.Glob(filepath.Join(i.Dir, "event-*"))
		require.NoError(t, err)
		pending += len(events)
		for _, event := range events {
			require.NoError(t, os.Remove(event))
		}
	}
	return kills
}

// lakeOf are the objects below an invocation's directory, whole.
func lakeOf(t *testing.T, i invocation) map[string]string {
	t.Helper()
	out := objects(t, filepath.Join(i.Dir, "lake"))
	for key := range out {
		if strings.HasSuffix(key, ".json") {
			body, err := os.ReadFile(filepath.Join(i.Dir, "lake", key))
			require.NoError(t, err)
			out[key] = string(body)
		}
	}
	return out
}

// quietServer is a server of the test's own, so that nothing else moves the position of its log.
func quietServer(t *testing.T) *mariadbtest.Database {
	t.Helper()
	if mariadb == nil {
		mariadb.Database(t) // skips
	}
	server, err := mariadbtest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	db := server.Database(t)
	db.Exec(t, "CREATE TABLE ratings (customer INT, product VARCHAR(15), stars TINYINT, rated DATETIME(6), PRIMARY KEY (customer, product))",
		"INSERT INTO ratings SELECT seq DIV 7, CONCAT('S', seq, '-ç'), seq MOD 5, '2020-01-01' + INTERVAL seq SECOND FROM seq_1_to_2000",
		"ANALYZE TABLE ratings")
	return db
}

// runsPerEffect kills of each kind of side effect.
const runsPerEffect = 50

func TestKilledAtAnySideEffectAndRetriedTheObjectsAreThoseOfAnUndisturbedRun(t *testing.T) {
	t.Parallel()
	db := quietServer(t)
	undisturbed := invocation{DSN: db.Config().FormatDSN(), Dir: t.TempDir(), Ranges: 1}
	require.Zero(t, undisturbed.deliver(t))
	want := lakeOf(t, undisturbed)
	require.Len(t, want, 6, "five files and the manifest")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for what, c := range map[effect]struct {
		times   int // at least, in a run of several invocations
		moments []moment
	}{
		object:     {5, []moment{before, during, after}},
		checkpoint: {4, []moment{before, after}},
		manifest:   {1, []moment{before, after}},
		removal:    {1, []moment{before, after}},
		invoke:     {1, []moment{before, after}},
	} {
		var runs []invocation
		for n := range runsPerEffect {
			i := undisturbed
			i.Dir, i.Kill, i.At, i.When = t.TempDir(), what, 1+n/len(c.moments)%c.times, c.moments[n%len(c.moments)]
			i.Ranges, i.Files = 1+random.IntN(2), random.IntN(4)
			if what == invoke {
				i.Files = 1 + random.IntN(2)
			} else if i.At > 1 {
				i.Files = 0 // so many in one process
			}
			runs = append(runs, i)
		}
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			killed := 0
			for _, i := range runs {
				killed += i.deliver(t)
				require.Equal(t, want, lakeOf(t, i), "killed %s the %d. %s; %d connections, %d files an invocation", i.When, i.At, i.Kill, i.Ranges, i.Files)
			}
			require.GreaterOrEqual(t, killed, runsPerEffect*9/10, "runs that were killed")
		})
	}
}

func TestDeliveriesAtTheSameTimeLeaveTheObjectsOfOne(t *testing.T) {
	t.Parallel()
	db := quietServer(t)
	alone := invocation{DSN: db.Config().FormatDSN(), Dir: t.TempDir(), Ranges: 1}
	require.Zero(t, alone.deliver(t))
	want := lakeOf(t, alone)
	for round := range 10 {
		dir := t.TempDir()
		gate := filepath.Join(dir, "gate")
		var waits []func() bool
		for n := range 3 {
			i := invocation{DSN: alone.DSN, Dir: dir, Ranges: 1 + n%2, Wait: gate}
			waits = append(waits, i.start(t))
		}
		require.NoError(t, os.WriteFile(gate, nil, 0o600))
		for _, wait := range waits {
			wait()
		}
		last := alone
		last.Dir = dir
		last.deliver(t) // one of those that were overtaken may have been the only one to see the end
		require.Equal(t, want, lakeOf(t, last), "round %d", round)
	}
}

// TestAManifestsFilesAreWhatItSaysWhoeverElseIsAtWork: between the deliveries the table changes, and
// both are at work at once.
func TestAManifestsFilesAreWhatItSaysWhoeverElseIsAtWork(t *testing.T) {
	t.Parallel()
	db := quietServer(t)
	for round := range 10 {
		dir := t.TempDir()
		gate := filepath.Join(dir, "gate")
		var waits []func() bool
		for n := range 3 {
			i := invocation{DSN: db.Config().FormatDSN(), Dir: dir, Ranges: 1, Wait: gate}
			waits = append(waits, i.start(t))
			time.Sleep(20 * time.Millisecond) // most often it has its snapshot by then; nothing depends on it
			db.Exec(t, fmt.Sprintf("UPDATE ratings SET stars = %d WHERE customer MOD 50 = %d", round, n))
		}
		require.NoError(t, os.WriteFile(gate, nil, 0o600))
		for _, wait := range waits {
			wait()
		}
		last := invocation{DSN: db.Config().FormatDSN(), Dir: dir, Ranges: 1}
		last.deliver(t)
		store := lake.NewDirectory(filepath.Join(dir, "lake"))
		m, _, err := lake.ReadMarker[lake.RawManifest](t.Context(), store, lake.RawMarker("ratings", run), lake.RawFormat)
		require.NoError(t, err)
		rows := read(t, store, m)
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(rows))), 2000)
		require.Equal(t, lake.Consistent, m.Snapshot.Kind)
	}
}
