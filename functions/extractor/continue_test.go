package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/mysqltable"
)

// oneFileAnHour is a store for which every file takes an hour of the clock.
type oneFileAnHour struct {
	lake.Store
	now *time.Time
}

func (s oneFileAnHour) Create(ctx context.Context, key string, r io.Reader) error {
	*s.now = s.now.Add(time.Hour)
	return s.Store.Create(ctx, key, r)
}

func TestATableThatTakesLongerThanAnInvocationIsContinuedInOthers(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE ratings (customerNumber INT, productCode VARCHAR(15), PRIMARY KEY (customerNumber, productCode))",
		"INSERT INTO ratings SELECT seq DIV 3, CONCAT('S', seq) FROM seq_1_to_5000")
	land := func(limit time.Duration) (objects map[string]string, answers []response, manifest lake.RawManifest) {
		e, _, _ := setup(t)
		e.limits = extract.Limits{FirstChunkRows: 100, ChunkBytes: 500, FileBytes: 1500, SectionRows: 1000}
		e.connect = func(context.Context) (*mysqltable.Server, error) { return mysqltable.Open(db.Config()) }
		directory, clock := e.store, time.Now()
		e.store = oneFileAnHour{directory, &clock}
		e.now = func() time.Time { return clock }
		queue := []request{event(t, "extractor-ratings.json")}
		e.invoke = func(_ context.Context, r request) error { queue = append(queue, r); return nil }
		for n := 0; n < len(queue); n++ {
			require.Equal(t, n, queue[n].Continuation)
			ctx, cancel := context.WithDeadline(t.Context(), clock.Add(limit))
			answer, err := e.Handle(ctx, queue[n])
			cancel()
			require.NoError(t, err)
			require.Equal(t, n < len(queue)-1, answer.Continues)
			answers = append(answers, answer)
		}
		manifest, _, err := lake.ReadMarker[lake.RawManifest](t.Context(), directory, answers[0].Manifest, lake.RawFormat)
		require.NoError(t, err)
		objects = laketest.Objects(t, directory)
		delete(objects, answers[0].Manifest)
		return objects, answers, manifest
	}
	want, answers, atOnce := land(1000 * time.Hour)
	require.Len(t, answers, 1)
	require.Greater(t, len(atOnce.Files), 3)
	got, answers, continued := land(45 * time.Minute)
	require.GreaterOrEqual(t, len(answers), 3, "each of two connections begins one file, and a second one would not fit")
	require.True(t, answers[len(answers)-1].Published)
	require.Equal(t, want, got, "the same files, and no checkpoint is left")
	require.Equal(t, atOnce.Files, continued.Files)
	require.Equal(t, atOnce.Checksum, continued.Source)
	if continued.Snapshot.Kind == lake.Fuzzy { // other tests write to the server between the invocations
		require.Contains(t, continued.Snapshot.Reason, "one invocation was too short")
		require.NotEmpty(t, continued.Snapshot.Positions)
		last := continued.Chunks[len(continued.Chunks)-1]
		require.Equal(t, len(continued.Snapshot.Positions)-1, last.Snapshot, "each chunk says which snapshot it is from")
	}
	require.True(t, strings.HasSuffix(answers[0].Manifest, "_MANIFEST.json"))
}

func TestAnInvocationThatWasOvertakenEndsQuietly(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE ratings (customerNumber INT, productCode VARCHAR(15), PRIMARY KEY (customerNumber, productCode))",
		"INSERT INTO ratings SELECT seq DIV 3, CONCAT('S', seq) FROM seq_1_to_5000")
	e, _, metricLines := setup(t)
	e.limits = extract.Limits{FirstChunkRows: 100, ChunkBytes: 500, FileBytes: 1500, SectionRows: 1000}
	e.connect = func(context.Context) (*mysqltable.Server, error) { return mysqltable.Open(db.Config()) }
	e.invoke = func(context.Context, request) error {
		t.Error("no continuation is started by who was overtaken")
		return nil
	}
	e.store = &overtaken{Store: e.store}
	answer, err := e.Handle(t.Context(), event(t, "extractor-ratings.json"))
	require.NoError(t, err, "a retry would overtake the other one")
	require.True(t, answer.Continues)
	require.Empty(t, metricLines.String())
}

// overtaken is a store in which another invocation has just written the checkpoint.
type overtaken struct{ lake.Store }

func (o *overtaken) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	if strings.HasSuffix(key, "_CHECKPOINT.json") && etag == "" {
		if err := o.Store.PutIf(ctx, key, []byte("another's"), ""); err != nil {
			return err
		}
	}
	return o.Store.PutIf(ctx, key, body, etag)
}
