package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/vectorstore"
)

// millrace runs a command line and returns what it prints.
func millrace(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errors bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errors)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// ratings writes interactions with taste in them: users like one of six kinds of items.
func ratings(t *testing.T) string {
	t.Helper()
	var csv strings.Builder
	csv.WriteString("user,item,weight\n")
	for u := range 120 {
		for n := range 10 {
			item := (u%6)*20 + (u*7+n*3)%20
			if n == 9 {
				item = (u * 13) % 120
			}
			fmt.Fprintf(&csv, "user %d,item %d,%d\n", u, item, 1+n%5)
		}
	}
	path := filepath.Join(t.TempDir(), "ratings.csv")
	require.NoError(t, os.WriteFile(path, []byte(csv.String()), 0o600))
	return path
}

func TestAModelIsTrainedAndMeasuredFromFiles(t *testing.T) {
	t.Parallel()
	file, out := ratings(t), filepath.Join(t.TempDir(), "model")
	text, err := millrace(t, "train", "--interactions", file, "--weight-column", "weight", "--out", out, "--dim", "8", "--epochs", "4")
	require.NoError(t, err)
	require.Contains(t, text, "candidate    better than popularity")

	test := filepath.Join(t.TempDir(), "test.tsv")
	require.NoError(t, os.WriteFile(test, []byte("user\titem\nuser 0\titem 19\nuser 1\titem 37\nnobody\titem 1\n"), 0o600))
	text, err = millrace(t, "evaluate", "--model", out, "--test", test, "--k", "20", "--json")
	require.NoError(t, err)
	var measured map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &measured))
	require.Equal(t, 2.0, measured["users"])
	require.Equal(t, 1.0, measured["unknown_users"])
	for _, metric := range []string{"recall@20", "ndcg@20", "precision@20", "mrr@20", "hit_rate@20", "coverage@20", "popularity_bias@20"} {
		require.Contains(t, measured, metric)
		require.Contains(t, measured["popularity"], metric)
		require.Contains(t, measured["item_neighbours"], metric)
	}

	text, err = millrace(t, "inspect", out)
	require.NoError(t, err)
	require.Contains(t, text, "intact   interactions.parquet")

	_, err = millrace(t, "train", "--interactions", file, "--out", out)
	require.ErrorContains(t, err, "is not empty", "an artifact is never overwritten")
}

// browsing writes sessions that walk through one of six shelves of ten items; the next item is the neighbour's.
func browsing(t *testing.T) (train, test string) {
	t.Helper()
	var sessions, questions strings.Builder
	for n := range 400 {
		shelf, at := n%6*10, n%7
		fmt.Fprintf(&sessions, "i%d i%d i%d\n", shelf+at, shelf+at+1, shelf+at+2)
		fmt.Fprintf(&questions, "i%d i%d\ti%d\n", shelf+at, shelf+at+1, shelf+at+2)
	}
	dir := t.TempDir()
	train, test = filepath.Join(dir, "train.txt"), filepath.Join(dir, "test.txt")
	require.NoError(t, os.WriteFile(train, []byte(sessions.String()), 0o600))
	require.NoError(t, os.WriteFile(test, []byte(questions.String()), 0o600))
	return train, test
}

func TestAModelIsTrainedAndMeasuredFromSessions(t *testing.T) {
	t.Parallel()
	sessions, questions := browsing(t)
	out := filepath.Join(t.TempDir(), "model")
	text, err := millrace(t, "train", "--sessions", sessions, "--out", out, "--dim", "8", "--epochs", "4")
	require.NoError(t, err)
	require.Contains(t, text, "decay")
	text, err = millrace(t, "evaluate", "--model", out, "--sessions", questions, "--k", "5", "--json")
	require.NoError(t, err)
	var measured struct {
		HR         float64 `json:"HR@5"`
		MRR        float64 `json:"MRR@5"`
		Questions  int
		Popularity map[string]float64
	}
	require.NoError(t, json.Unmarshal([]byte(text), &measured))
	require.Equal(t, 400, measured.Questions)
	require.Greater(t, measured.HR, .8)
	require.Greater(t, measured.MRR, .2)
	require.Less(t, measured.Popularity["HR@5"], .4)
	_, err = millrace(t, "evaluate", "--model", out, "--sessions", sessions)
	require.ErrorContains(t, err, "train.txt:1: column 9: no tab")
	_, err = millrace(t, "train", "--sessions", questions, "--out", t.TempDir())
	require.ErrorContains(t, err, "test.txt:1: column 6: a tab")
}

func TestMistakesInFilesAreNamedByFileLineAndColumn(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.csv")
	require.NoError(t, os.WriteFile(broken, []byte("user,item,weight\na,b,1\na,c,lots\n"), 0o600))
	_, err := millrace(t, "train", "--interactions", broken, "--weight-column", "weight", "--out", t.TempDir())
	for _, part := range []string{"broken.csv:3", "weight", "lots"} {
		require.ErrorContains(t, err, part)
	}
	_, err = millrace(t, "train", "--interactions", broken, "--user-column", "customer", "--out", t.TempDir())
	require.ErrorContains(t, err, "customer")
	_, err = millrace(t, "evaluate", "--model", t.TempDir(), "--test", ratings(t))
	require.ErrorContains(t, err, "it is no artifact")
	_, err = millrace(t, "train")
	require.ErrorContains(t, err, `"out"`)
	_, err = millrace(t, "train", "--out", t.TempDir())
	require.ErrorContains(t, err, "interactions sessions")
	_, err = millrace(t, "train", "--out", t.TempDir(), "--interactions", broken, "--sessions", broken)
	require.ErrorContains(t, err, "interactions sessions")
}

func TestADayIsItsScheduledTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 17, 3, 4, 500, time.UTC)
	for text, want := range map[string]lake.Run{
		"": "20261122T170304Z", "2026-11-21": "20261121T020000Z", "2026-11-21T03:00:00+01:00": "20261121T020000Z", "20261121T020000Z": "20261121T020000Z",
	} {
		run, err := parseDate(text, now)
		require.NoError(t, err)
		require.Equal(t, want, run, text)
	}
	_, err := parseDate("yesterday", now)
	require.ErrorContains(t, err, `--date "yesterday"`)
	_, err = parseDate("9999-12-31", now)
	require.ErrorContains(t, err, "in the future", "it would keep every later night's model from serving")
}

func TestAStageIsDoneOnlyByItsOwnRun(t *testing.T) {
	t.Parallel()
	st := stage{Run: "20261122T020000Z"}
	require.True(t, st.is("20261122T020000Z"))
	require.True(t, st.Done)
	require.False(t, st.is("20261122T010000Z"), "an older run's marker is still there")
	require.Empty(t, st.Replaced)
	require.False(t, st.is("20261122T030000Z"))
	require.Equal(t, lake.Run("20261122T030000Z"), st.Replaced)
}

func TestNoEventIsSentWhenOneIsBroken(t *testing.T) {
	t.Parallel()
	d, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "events.jsonl")
	good := `{"customer_number":103,"browse_history":[{"product_code":"S18_1749"}]}`
	require.NoError(t, os.WriteFile(path, []byte(good+"\n\n"+`{"customer_number":`+"\n"), 0o600))
	_, err = (&stack{dataset: d}).readEvents(path)
	require.ErrorContains(t, err, path+":3")

	records, err := (&stack{dataset: d}).readEvents("../events/shop.jsonl")
	require.NoError(t, err)
	require.Len(t, records, 29)
	require.Equal(t, "242", *records[0].PartitionKey, "a user's events stay in order")
}

func TestLineageShowsWhatHasChanged(t *testing.T) {
	t.Parallel()
	raw := lake.Lineage{Parent: lake.Parent{Key: "raw/m", SHA256: "0123456789abcdef"}, Rows: 7, Server: "8.4.0"}
	var out bytes.Buffer
	origin{Lineage: lake.Lineage{Parent: lake.Parent{Key: "models/v/manifest.json", SHA256: "fedcba98765432"}, Intact: true, Parents: []lake.Lineage{raw}}}.print(&out)
	require.Equal(t, "← models/v/manifest.json  sha256 fedcba987654…  marker unchanged\n"+
		"  ← raw/m  sha256 0123456789ab…  marker CHANGED since  7 rows  from MySQL 8.4.0\n", out.String())
}

func TestLineageOfARecommendationWhoseTrainingSetWasReplacedShowsWhatTheModelSaw(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	objects := lake.NewDirectory(t.TempDir())
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	seen, err := als.Collect(1, 2, []als.Interaction{{Item: 0, Weight: 1}, {Item: 1, Weight: 1}})
	require.NoError(t, err)
	unit := []float32{1}
	_, _, err = model.Write(ctx, model.Destination{Store: objects, Dir: lake.ModelDir("v"), Version: "v", Run: "20261122T020000Z", Parents: []lake.Parent{{Key: "training/x/dt=2026-11-22/_SUCCESS", SHA256: "before"}}}, model.Content{
		Items:   []model.Entity{{ID: "a", Embedding: unit}, {ID: "b", Embedding: unit}},
		Users:   []model.Entity{{ID: "1000103", Embedding: unit}},
		Encoder: features.Encoder{Format: features.EncoderFormat, Dimension: 1, Alpha0: 1, Lambda: 1, Items: 2, Users: 1, WeightUnit: 1, Gramian: unit, MeanUser: unit},
		Metrics: model.Metrics{State: lake.Candidate}, Seen: model.Seen{Users: []string{"1000103"}, Items: []string{"a", "b"}, Matrix: seen},
	})
	require.NoError(t, err)
	require.NoError(t, objects.Put(ctx, "training/x/dt=2026-11-22/_SUCCESS", strings.NewReader(`{"format":"`+lake.TrainingFormat+`","rows":7}`)))
	require.NoError(t, objects.Put(ctx, "recommendations/2026/11/22/02/f", strings.NewReader(`{"event_id":"shard:7","recommendation_id":"r1","customer_number":1000103,"model_version":"v"}`+"\n")))
	s := &stack{lake: objects, dataset: shop}
	o, err := s.origin(ctx, "r1")
	require.NoError(t, err)
	var out bytes.Buffer
	o.print(&out)
	require.Contains(t, out.String(), "the training set was replaced since; the model was trained on 2 items of this user: a, b\n")
	require.Contains(t, out.String(), "marker CHANGED since")
	require.NotContains(t, out.String(), "WHERE")

	byEvent, err := s.origin(ctx, "shard:7")
	require.NoError(t, err)
	require.Equal(t, o, byEvent)
	_, err = s.origin(ctx, "shard:8")
	require.ErrorContains(t, err, `no model version, recommendation_id or event_id "shard:8"`)
}

func TestStatusSaysWhatWaitsAndWhatWasReplaced(t *testing.T) {
	t.Parallel()
	lag := 1500.0
	var out bytes.Buffer
	status{
		Runs: []runStatus{
			{"20261122T030000Z", []stage{{Stage: "extract", Name: "ratings", Done: true, Rows: 3, Detail: "consistent snapshot"}, {Stage: "train", Name: "model"}}},
			{"20261122T020000Z", []stage{{Stage: "train", Name: "model", Replaced: "20261122T030000Z"}}},
		},
		versions: versions{[]modelVersion{{"v1", "active", "newest run"}}, &vectorstore.Experiment{N: 3, Control: "v1", Treatment: "v2", Weight: 0.1}},
		Stream:   stream{"Enabled", "OK", &lag}, Failed: 2,
	}.print(&out)
	for _, part := range []string{
		"Run 20261122T030000Z: 1 of 2 stages done", "✓  extract  ratings  3 rows  consistent snapshot", "…  train    model",
		"Run 20261122T020000Z: replaced by run 20261122T030000Z", "v1  active", "Experiment 3, running", "treatment   10.0 %  v2", `Stream: Enabled, last result "OK", 1.5 s behind`, "Failed invocations: 2",
	} {
		require.Contains(t, out.String(), part)
	}
}

func TestAFailureIsKnownByItsRun(t *testing.T) {
	t.Parallel()
	const run = lake.Run("20261122T020000Z")
	since := run.Time()
	body := func(request string) string {
		return `{"timestamp":"2026-11-22T02:00:09.5Z","requestContext":{"functionArn":"arn:f"},"requestPayload":` + request + `,"responsePayload":{"errorMessage":"no such table"}}`
	}
	require.Equal(t, "no such table", failure(body(`{"table":"x","scheduled_time":"2026-11-22T02:00:00Z"}`), run, since))
	require.Equal(t, "no such table", failure(body(`{"detail":{"object":{"key":"curated/x/dt=2026-11-22/_SUCCESS"}}}`), run, since))
	require.Empty(t, failure(body(`{"table":"x","scheduled_time":"2026-11-21T02:00:00Z"}`), run, since), "another run's")
	require.Empty(t, failure(body(`{"table":"x","scheduled_time":"2026-11-22T02:00:00Z"}`), run, since.Add(time.Minute)), "an earlier attempt's")
	require.Empty(t, failure("not JSON", run, since))
	job := `{"time":"2026-11-22T02:20:00Z","detail-type":"Batch Job State Change","detail":{"jobName":"millrace-trainer","status":"FAILED",
		"statusReason":"Essential container in task exited","parameters":{"key":"training/classicmodels/dt=2026-11-22/_SUCCESS"}}}`
	require.Equal(t, "job millrace-trainer: Essential container in task exited; see its log", failure(job, run, since))
	require.Empty(t, failure(job, "20261121T020000Z", since))
}

func TestADirectoryThatIsNotNamedIsRefused(t *testing.T) {
	t.Parallel()
	_, err := millrace(t, "partition", "--in", t.TempDir(), "--table", "orders", "--run", "20261122T020000Z", "--out", "")
	require.EqualError(t, err, "--out is empty")
	_, err = millrace(t, "inspect", "")
	require.Error(t, err)
}

func TestADayIsItsNewestRunWheneverTheNightsBegin(t *testing.T) {
	t.Parallel()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	s := &stack{lake: lake.NewDirectory(t.TempDir()), dataset: shop}
	day := lake.Run("20261122T020000Z")
	run, err := s.runOfDay(t.Context(), day)
	require.NoError(t, err)
	require.Equal(t, day, run)
	for _, landed := range []lake.Run{"20261121T233000Z", "20261122T003000Z", "20261122T233000Z", "20261123T003000Z"} {
		require.NoError(t, s.lake.Put(t.Context(), lake.RawMarker("orders", landed), strings.NewReader("{}")))
	}
	run, err = s.runOfDay(t.Context(), day)
	require.NoError(t, err)
	require.Equal(t, lake.Run("20261122T233000Z"), run)
}
