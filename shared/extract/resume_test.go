package extract_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
)

// breakOff lands two of the table's files and dies.
func breakOff(t *testing.T, e *extract.Extractor) {
	t.Helper()
	store := e.Store
	e.Store = &dying{Store: store, left: 4} // two files with their checkpoints
	_, err := e.Extract(context.Background(), request("ratings"))
	require.ErrorIs(t, err, errDied)
	e.Store = store
}

// noting keeps what an operator is told.
func noting(e *extract.Extractor) *[]string {
	notices := new([]string)
	e.Notice = func(text string) { *notices = append(*notices, text) }
	return notices
}

func TestABrokenOffRunGoesOnIfItsRowsAreStillThose(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	want := objects(t, dir)

	dir = t.TempDir()
	e.Store = lake.NewDirectory(dir)
	breakOff(t, e)
	db.Exec(t, "CREATE TABLE another (id INT)") // the log moves on, the table stays
	notices, opened := noting(e), &creations{Store: e.Store}
	e.Store = opened
	resumed, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.Contains(t, strings.Join(*notices, "\n"), "the server's checksum of them is still the same")
	require.EqualValues(t, 8000, resumed.Resumed)
	require.Equal(t, len(result.Manifest.Files)-2, opened.n, "what has landed is not read again")
	require.Equal(t, lake.Consistent, resumed.Manifest.Snapshot.Kind)
	require.Equal(t, want, objects(t, dir))
}

// creations counts the files begun.
type creations struct {
	lake.Store
	n int
}

func (c *creations) Create(ctx context.Context, key string, r io.Reader) error {
	c.n++
	return c.Store.Create(ctx, key, r)
}

func TestABrokenOffRunBeginsAgainBesideRowsThatHaveChanged(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	breakOff(t, e)
	old := objects(t, dir)
	delete(old, lake.RawCheckpointKey("ratings", run))
	db.Exec(t, "UPDATE ratings SET stars = 99 WHERE customer = 5")
	notices := noting(e)
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.Contains(t, strings.Join(*notices, "\n"), "starting again: the run broke off after 8000 rows, and some of those have changed since")
	require.Zero(t, result.Resumed)
	require.Equal(t, lake.Consistent, result.Manifest.Snapshot.Kind)
	require.Len(t, read(t, e.Store, result.Manifest), 20000)
	require.Equal(t, lake.RawVariant("ratings", run, 0, 1), result.Manifest.Files[0].Key)
	require.True(t, strings.HasSuffix(result.Manifest.Files[0].Key, "part-00000-1.avro"))
	for key, content := range old {
		require.Equal(t, content, objects(t, dir)[key], "no object is replaced: another attempt may publish it")
	}
}

func TestABrokenOffRunBeginsAgainAfterTheTableWasAltered(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	breakOff(t, e)
	db.Exec(t, "ALTER TABLE ratings ADD note INT")
	notices := noting(e)
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.Contains(t, strings.Join(*notices, "\n"), "since then the table or its settings were altered")
	require.Len(t, result.Manifest.Columns, 7)
	read(t, e.Store, result.Manifest)
}

// hours is a clock by which every file takes as long as a test says.
type hours struct {
	lake.Store
	left, perFile time.Duration
}

func (h *hours) Create(ctx context.Context, key string, r io.Reader) error {
	h.left -= h.perFile
	return h.Store.Create(ctx, key, r)
}

func TestSeveralInvocationsOfAChangingTableAreCalledFuzzyWithEachPosition(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	clock := &hours{Store: e.Store, perFile: time.Hour}
	e.Store = clock
	e.TimeLeft = func() time.Duration { return clock.left }
	var result extract.Result
	invocations := 0
	for {
		var err error
		clock.left = 90 * time.Minute
		result, err = e.Extract(context.Background(), request("ratings"))
		require.NoError(t, err)
		invocations++
		if !result.Unfinished {
			break
		}
		require.False(t, result.Published)
		db.Exec(t, "UPDATE ratings SET stars = stars + 1 WHERE customer < 100 OR customer > 2800", "DELETE FROM ratings WHERE customer BETWEEN 2000 AND 2010")
	}
	m := result.Manifest
	require.Greater(t, invocations, 1)
	require.Equal(t, lake.Fuzzy, m.Snapshot.Kind)
	require.Contains(t, m.Snapshot.Reason, "because one invocation was too short")
	require.Len(t, m.Snapshot.Positions, invocations)
	require.NotEqual(t, m.Snapshot.Positions[0], m.Snapshot.Positions[1])
	require.Equal(t, invocations-1, m.Chunks[len(m.Chunks)-1].Snapshot)
	require.Len(t, read(t, e.Store, m), 20000-77)
}

func TestAServerTooSlowForOneFileAnInvocationGetsSmallerOnesAndThenAnError(t *testing.T) {
	t.Parallel()
	_, e, dir := setup(t)
	slow := &stuck{Store: e.Store}
	e.Store = slow
	e.TimeLeft = func() time.Duration { return 300 * time.Millisecond }
	e.Limits.FileBytes = 1 << 20
	for range 3 {
		result, err := e.Extract(context.Background(), request("ratings"))
		require.NoError(t, err)
		require.True(t, result.Unfinished)
		require.Zero(t, result.Landed)
	}
	require.Contains(t, objects(t, dir)[lake.RawCheckpointKey("ratings", run)], `"narrowed":3`)
	_, err := e.Extract(context.Background(), request("ratings"))
	require.ErrorContains(t, err, "not even 16384 bytes arrived within one invocation")

	e.Store, e.TimeLeft = slow.Store, nil
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.Len(t, read(t, e.Store, result.Manifest), 20000)
	require.Greater(t, len(result.Manifest.Files), 10, "in small files")
}

// stuck is a store that takes nothing until the time is over.
type stuck struct{ lake.Store }

func (s *stuck) Create(ctx context.Context, _ string, r io.Reader) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestATableWithoutAKeyThatTakesLongerThanAnInvocationFails(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	db.Exec(t, "CREATE TABLE visits (n INT)", "INSERT INTO visits SELECT seq FROM seq_1_to_10")
	e.Store = &stuck{e.Store}
	e.TimeLeft = func() time.Duration { return 300 * time.Millisecond }
	_, err := e.Extract(context.Background(), request("visits"))
	require.ErrorContains(t, err, "table visits has no key to cut it by")
	require.ErrorContains(t, err, "give it a primary key")
}
