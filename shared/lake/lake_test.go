package lake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

func TestRunIsTheScheduledTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2026-11-22T02:00:00Z", "2026-11-22T03:00:00+01:00", "20261122T020000Z"} {
		run, err := lake.ParseRun(text)
		require.NoError(t, err)
		require.Equal(t, lake.Run("20261122T020000Z"), run)
		require.Equal(t, "2026-11-22", run.Date())
	}
	_, err := lake.ParseRun("<aws.scheduler.scheduled-time>")
	require.ErrorContains(t, err, "want a scheduled time")
	require.Empty(t, lake.Run("").Date())
}

func TestKeysFollowTheGrammar(t *testing.T) {
	t.Parallel()
	require.Equal(t, "raw/%2E%2E/", lake.RawRoot(".."))
	require.Equal(t, "curated/a..b/", lake.CuratedRoot("a..b"))
	run := lake.NewRun(time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC))
	require.Equal(t, "raw/ratings/dt=2026-11-22/run=20261122T020000Z/part-00003.avro", lake.RawPart("ratings", run, 3))
	require.Equal(t, "raw/ratings/dt=2026-11-22/run=20261122T020000Z/_MANIFEST.json", lake.RawMarker("ratings", run))
	require.Equal(t, "curated/a%2Fb/dt=2026-11-22/line=50%25 & São/part-00000.parquet",
		lake.CuratedPart("a/b", run, lake.Partition("line", "50% & São", false), 0))
	require.Equal(t, "city=__HIVE_DEFAULT_PARTITION__/", lake.Partition("city", "", true))
	require.Equal(t, "training/shop/dt=2026-11-22/_SUCCESS", lake.TrainingMarker("shop", run))
	require.Equal(t, "models/v1/manifest.json", lake.ModelMarker("v1"))
}

func TestOnlyMarkersOfTheLakeAreAccepted(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"raw/ratings/dt=2026-11-22/run=20261122T020000Z/_MANIFEST.json": "raw",
		"curated/ratings/dt=2026-11-22/_SUCCESS":                        "curated",
		"training/shop/dt=2026-11-22/_SUCCESS":                          "training",
		"models/20261122T020000Z-0a1b2c3d/manifest.json":                "models",
		"raw/ratings/dt=2026-11-22/run=x/part-00000.avro":               "",
		"models/../secrets/manifest.json":                               "",
		"curated/ratings/dt=../dt=2026-11-22/_SUCCESS":                  "",
		"elsewhere/_SUCCESS":                                            "",
	} {
		got, err := lake.Layer(key)
		require.Equal(t, want, got, key)
		require.Equal(t, want == "", errors.Is(err, lake.ErrForeignKey), key)
	}
}

func TestEventsOfOtherBucketsAndLayersAreRefusedByName(t *testing.T) {
	t.Parallel()
	event := func(bucket, key string) events.EventBridgeEvent {
		detail, err := json.Marshal(map[string]any{"bucket": map[string]string{"name": bucket}, "object": map[string]string{"key": key}})
		require.NoError(t, err)
		return events.EventBridgeEvent{Source: "aws.s3", DetailType: "Object Created", Detail: detail}
	}
	key, err := lake.CreatedMarker(event("lake", "curated/a/dt=2026-11-22/_SUCCESS"), "lake", "curated")
	require.NoError(t, err)
	require.Equal(t, "curated/a/dt=2026-11-22/_SUCCESS", key)
	_, err = lake.CreatedMarker(event("other", key), "lake", "curated")
	require.ErrorContains(t, err, `"other"`)
	_, err = lake.CreatedMarker(event("lake", key), "lake", "raw")
	require.ErrorContains(t, err, "want raw/")
	_, err = lake.CreatedMarker(events.EventBridgeEvent{Source: "aws.ec2"}, "lake", "raw")
	require.ErrorContains(t, err, "aws.ec2")
}

func publishable(run lake.Run, rows int64) lake.CuratedSuccess {
	return lake.CuratedSuccess{Header: lake.Header{Format: lake.CuratedFormat, Run: run}, Table: "ratings", Rows: rows}
}

func TestPublishingAgainChangesNothingAndNewerRunsReplace(t *testing.T) {
	t.Parallel()
	ctx, store := context.Background(), lake.NewDirectory(t.TempDir())
	const key = "curated/ratings/dt=2026-11-22/_SUCCESS"
	done, err := lake.Publish(ctx, store, key, publishable("20261122T020000Z", 1))
	require.NoError(t, err)
	require.True(t, done)
	done, err = lake.Publish(ctx, store, key, publishable("20261122T020000Z", 1))
	require.NoError(t, err)
	require.False(t, done, "the same marker again")
	done, err = lake.Publish(ctx, store, key, publishable("20261122T030000Z", 2))
	require.NoError(t, err)
	require.True(t, done, "a newer run")
	_, err = lake.Publish(ctx, store, key, publishable("20261122T020000Z", 1))
	require.ErrorIs(t, err, lake.ErrSuperseded)
	marker, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, store, key, lake.CuratedFormat)
	require.NoError(t, err)
	require.EqualValues(t, 2, marker.Rows)
}

func TestAMarkerOfAnotherFormatIsRefused(t *testing.T) {
	t.Parallel()
	ctx, store := context.Background(), lake.NewDirectory(t.TempDir())
	require.NoError(t, store.Put(ctx, "m", strings.NewReader(`{"format":"millrace/raw/9"}`)))
	_, _, err := lake.ReadMarker[lake.RawManifest](ctx, store, "m", lake.RawFormat)
	require.ErrorContains(t, err, "millrace/raw/9")
}

func TestReadersSeeExactlyWhatWasPublishedOrFail(t *testing.T) {
	t.Parallel()
	ctx, store := context.Background(), lake.NewDirectory(t.TempDir())
	content := bytes.Repeat([]byte("rows "), 100_000)
	file, err := lake.Write(ctx, store, "f", func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	require.NoError(t, err)
	require.EqualValues(t, len(content), file.Size)
	got, err := lake.ReadFile(ctx, store, file)
	require.NoError(t, err)
	require.Equal(t, content, got)

	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	for name, now := range map[string][]byte{
		"flipped": flipped, "cut": content[:len(content)-1], "longer": append(bytes.Clone(content), 'x'), "empty": nil,
	} {
		require.NoError(t, store.Put(ctx, "f", bytes.NewReader(now)))
		_, err = lake.ReadFile(ctx, store, file)
		require.ErrorIs(t, err, lake.ErrStale, name)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, store := context.Background(), lake.NewDirectory(t.TempDir())
	broken := errors.New("the database went away")
	_, err := lake.Write(ctx, store, "raw/f", func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, broken)
	})
	require.ErrorIs(t, err, broken)
	keys, err := store.List(ctx, "")
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestLineageLeadsToTheExtractionAndShowsWhatChanged(t *testing.T) {
	t.Parallel()
	ctx, store := context.Background(), lake.NewDirectory(t.TempDir())
	raw := lake.RawManifest{Header: lake.Header{Format: lake.RawFormat, Run: "20261122T020000Z"}, Table: "ratings", Rows: 7,
		Snapshot: lake.Snapshot{Kind: "consistent", Server: "8.4.0"}}
	_, err := lake.Publish(ctx, store, "raw/m", raw)
	require.NoError(t, err)
	_, parent, err := lake.ReadMarker[lake.RawManifest](ctx, store, "raw/m", lake.RawFormat)
	require.NoError(t, err)
	curated := publishable("20261122T020000Z", 7)
	curated.Parents = []lake.Parent{parent}
	_, err = lake.Publish(ctx, store, "curated/m", curated)
	require.NoError(t, err)

	lineage, err := lake.Trace(ctx, store, "curated/m")
	require.NoError(t, err)
	require.Len(t, lineage.Parents, 1)
	require.Equal(t, "8.4.0", lineage.Parents[0].Server)
	require.True(t, lineage.Parents[0].Intact)

	raw.Rows = 8
	raw.Run = "20261122T030000Z"
	_, err = lake.Publish(ctx, store, "raw/m", raw)
	require.NoError(t, err)
	lineage, err = lake.Trace(ctx, store, "curated/m")
	require.NoError(t, err)
	require.False(t, lineage.Parents[0].Intact)
	require.False(t, lineage.Parents[0].Missing)
	_, err = lake.ReadParent[lake.RawManifest](ctx, store, parent, lake.RawFormat)
	require.ErrorIs(t, err, lake.ErrStale)

	require.NoError(t, store.Delete(ctx, "raw/m"))
	lineage, err = lake.Trace(ctx, store, "curated/m")
	require.NoError(t, err, "raw data expires before what was made from it")
	require.Equal(t, lake.Lineage{Parent: parent, Missing: true}, lineage.Parents[0])
	_, err = lake.Trace(ctx, store, "raw/m")
	require.ErrorIs(t, err, lake.ErrNotFound)
}

func TestLineageEndsAtTheExtractionHoweverManyRunsWereBeforeIt(t *testing.T) {
	t.Parallel()
	ctx, store := t.Context(), lake.NewDirectory(t.TempDir())
	var before []lake.Parent
	for day := range 20 {
		key := fmt.Sprintf("raw/%d", day)
		_, err := lake.Publish(ctx, store, key, lake.RawManifest{Header: lake.Header{Format: lake.RawFormat, Run: "20261122T020000Z", Parents: before}})
		require.NoError(t, err)
		_, parent, err := lake.ReadMarker[lake.RawManifest](ctx, store, key, lake.RawFormat)
		require.NoError(t, err)
		before = []lake.Parent{parent}
	}
	_, err := lake.Publish(ctx, store, "curated/m", lake.CuratedSuccess{Header: lake.Header{Format: lake.CuratedFormat, Parents: before}})
	require.NoError(t, err)
	lineage, err := lake.Trace(ctx, store, "curated/m")
	require.NoError(t, err)
	require.Equal(t, before[0], lineage.Parents[0].Parent)
	require.Empty(t, lineage.Parents[0].Parents)
}
