package invoke_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/local/invoke"
	"github.com/millrace/millrace/shared/lake"
)

// refused says for each bad event how its function answers: with an error, or with a response that has this in it.
// Every other file in events/ named for a function is a good event.
var refused = map[string]string{
	"api-bad-event.json":              "422",
	"api-unknown-item.json":           `"statusCode": 404`,
	"extractor-bad-time.json":         "yesterday",
	"extractor-missing-table.json":    "table",
	"extractor-missing-time.json":     "scheduled_time",
	"extractor-unknown-mode.json":     "incremental",
	"extractor-unknown-table.json":    "payments",
	"loader-experiment.json":          "there is no model 20261122T020000Z-0a1b2c3d",
	"loader-foreign-key.json":         "items.parquet",
	"loader-rollback.json":            "no previous version",
	"partitioner-foreign-path.json":   "raw/../curated",
	"partitioner-not-a-marker.json":   "part-00000",
	"partitioner-object-deleted.json": "Object Deleted",
	"partitioner-other-bucket.json":   "bucket",
	"partitioner-unknown-table.json":  "invoices",
	"trainer-foreign-path.json":       "training/../models/_SUCCESS",
	"trainer-not-a-marker.json":       "part-00000.parquet",
	"trainer-other-bucket.json":       "somebody-elses-bucket",
	"trainset-not-a-marker.json":      "part-00000",
	"trainset-other-bucket.json":      "bucket",
	"trainset-other-layer.json":       "raw/ratings",
}

// setup deploys into a cloud of the test's own.
func setup(t *testing.T) (*invoke.Session, lake.Store) {
	t.Helper()
	if os.Getenv("MILLRACE_END_TO_END") == "" {
		t.Skip("sam local invoke needs a deployed stack: run this with make test (or MILLRACE_END_TO_END=1)")
	}
	if err := invoke.CheckEngine(t.Context()); err != nil {
		t.Skipf("sam local invoke needs Docker: %v", err)
	}
	here, err := os.Getwd()
	require.NoError(t, err)
	settings, err := cloud.SettingsFrom(map[string]string{"LOCAL_VENV_DIR": cmp.Or(os.Getenv("LOCAL_VENV_DIR"), ".local")}, here)
	require.NoError(t, err)
	settings.Dir, settings.Stack = t.TempDir(), "millrace-invoke"
	t.Cleanup(func() { require.NoError(t, cloud.Down(context.Background(), settings, t.Output())) })
	c, err := cloud.Up(t.Context(), settings, t.Output())
	require.NoError(t, err)
	require.NoError(t, c.Deploy(t.Context()))
	session, err := invoke.Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	outputs, err := c.Outputs(t.Context())
	require.NoError(t, err)
	return session, lake.NewBucket(c.AWSConfig(), outputs["LakeBucketName"])
}

// waitForObject waits until the stages before have published what the event announces: the deployed functions work on what the
// invoked ones land.
func waitForObject(t *testing.T, event []byte, store lake.Store) {
	t.Helper()
	const patience = 2 * time.Minute
	var created struct {
		Detail struct{ Object struct{ Key string } }
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		// Again each time: the version of a model is known once it is there.
		own, err := invoke.ForLake(t.Context(), event, "own", store)
		require.NoError(t, err)
		key := ""
		if json.Unmarshal(own, &created) == nil {
			key = created.Detail.Object.Key
		}
		if key == "" {
			return
		}
		there, err := store.List(t.Context(), key)
		require.NoError(t, err)
		if slices.Contains(there, key) {
			return
		}
		require.True(t, time.Now().Before(deadline), "nobody published %s in %s", key, patience)
	}
}

// requireSuccess looks into the answers that report a failure without being an error: of the API and of a stream's batch.
func requireSuccess(t *testing.T, answer []byte) {
	t.Helper()
	var said struct {
		StatusCode        int
		BatchItemFailures []any
	}
	if json.Unmarshal(answer, &said) == nil {
		require.Less(t, said.StatusCode, 400, "%s", answer)
		require.Empty(t, said.BatchItemFailures, "%s", answer)
	}
}

// TestEveryFunctionAnswersItsEvents sends the events in the order of the data's flow: what one stage publishes is the next one's input.
func TestEveryFunctionAnswersItsEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	session, store := setup(t)

	for _, function := range []string{"extractor", "partitioner", "trainset", "trainer", "loader", "recommender", "api"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "events", function+"-*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "there are no events for the function %s", function)
		for _, file := range files {
			name := filepath.Base(file)
			t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
				event, err := os.ReadFile(file)
				require.NoError(t, err)
				_, bad := refused[name]
				if !bad {
					waitForObject(t, event, store)
				}
				var log bytes.Buffer
				answer, err := session.Invoke(ctx, invoke.LogicalID(function), event, &log)
				if bad {
					if err != nil {
						var failed *invoke.FunctionError
						require.ErrorAs(t, err, &failed, "the function itself must answer; its log:\n%s", &log)
						answer = []byte(failed.Message)
					}
					require.Contains(t, string(answer), refused[name], "log:\n%s", &log)
					return
				}
				require.NoError(t, err, "log:\n%s", &log)
				requireSuccess(t, answer)
			})
		}
	}
}
