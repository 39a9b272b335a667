// Package endtoend_test deploys the real template into a local cloud of its own, with IAM enforced, and follows real rows
// to real recommendations.
package endtoend_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/local/seed"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

const patience = 3 * time.Minute

// system is a deployed millrace and everything to look at it with.
type system struct {
	t        *testing.T
	settings cloud.Settings
	cloud    *cloud.Cloud
	outputs  map[string]string
	aws      aws.Config
	lake     *lake.Bucket
	mysql    *sql.DB
	dataset  *dataset.Dataset
	cli      string
	// Two nights before now: a run in the future is refused.
	firstRun, secondRun lake.Run
}

func setup(t *testing.T) *system {
	t.Helper()
	if os.Getenv("MILLRACE_END_TO_END") == "" {
		t.Skip("the end-to-end test starts servers and deploys: run it with make test (or MILLRACE_END_TO_END=1)")
	}
	here, err := os.Getwd()
	require.NoError(t, err)
	environ := map[string]string{"LOCAL_DIR": t.TempDir(), "LOCAL_AUTH": "true", "MILLRACE_STACK": "millrace-e2e"}
	settings, err := cloud.SettingsFrom(environ, here)
	require.NoError(t, err)
	settings.VenvDir = filepath.Join(settings.Root, ".local")
	if dir := os.Getenv("LOCAL_VENV_DIR"); dir != "" {
		settings.VenvDir = dir
	}

	ctx := t.Context()
	t.Cleanup(func() { require.NoError(t, cloud.Down(context.Background(), settings, t.Output())) })
	c, err := cloud.Up(ctx, settings, t.Output())
	require.NoError(t, err)
	require.NoError(t, c.Deploy(ctx))
	outputs, err := c.Outputs(ctx)
	require.NoError(t, err)
	d, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	db, err := sql.Open("mysql", c.Addresses.MySQLDSN)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })

	cli := filepath.Join(t.TempDir(), "millrace")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", cli, "./cli")
	build.Dir = settings.Root
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return &system{
		t: t, settings: settings, cloud: c, outputs: outputs, aws: c.AWSConfig(), mysql: db, dataset: d, cli: cli,
		firstRun: night(2), secondRun: night(1),
		lake: lake.NewBucket(c.AWSConfig(), outputs["LakeBucketName"]),
	}
}

// night is the nightly run of so many days ago.
func night(daysAgo int) lake.Run {
	return lake.NewRun(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysAgo).Add(2 * time.Hour))
}

// millrace runs the operator's command and reads its JSON into v (nil: not wanted).
func (s *system) millrace(v any, args ...string) {
	s.t.Helper()
	s.millraceEnds(0, v, args...)
}

// millraceEnds runs a command that ends with an exit status.
func (s *system) millraceEnds(status int, v any, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.cli, append(args, "--json", "--stack", "millrace-e2e")...)
	cmd.Env = os.Environ()
	for _, variable := range s.cloud.Env() {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	require.NotNil(s.t, cmd.ProcessState, err)
	require.Equal(s.t, status, cmd.ProcessState.ExitCode(), "millrace %s: %s", strings.Join(args, " "), &stderr)
	if v != nil {
		require.NoError(s.t, json.Unmarshal(stdout.Bytes(), v), "%s", &stdout)
	}
}

// eventually waits for what asynchronous stages bring about.
func (s *system) eventually(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		require.True(s.t, time.Now().Before(deadline), "not within %s: %s", patience, what)
		time.Sleep(200 * time.Millisecond)
	}
}

func TestRowsBecomeRecommendations(t *testing.T) {
	s := setup(t)
	first := s.runBatch(s.firstRun)

	t.Run("counts and checksums agree at every stage", func(t *testing.T) { s.stagesAgree(t, s.firstRun) })
	t.Run("the training set equals an independent join", func(t *testing.T) { s.trainingSetEqualsJoin(t, s.firstRun) })
	t.Run("Athena joins the same", func(t *testing.T) {
		athenaJoinsTheSame(t, s.aws, s.outputs["QueryWorkGroupName"])
		s.athenaIsGranted(t)
	})
	t.Run("the model beats popularity and every product and customer is in it", func(t *testing.T) { s.modelIsGood(t, first) })
	t.Run("events become recommendations", func(t *testing.T) { s.eventsAreServed(t, first) })
	t.Run("Athena compares two arms as counted by hand", func(t *testing.T) { s.athenaComparesAsByHand(t) })
	t.Run("what was rejected is sent again when it is mended", func(t *testing.T) { s.rejectedEventsAreRedriven(t) })
	t.Run("a batch of events delivered again has no second effect", func(t *testing.T) { s.repeatedBatchHasNoSecondEffect(t) })
	t.Run("the API answers signed requests only", func(t *testing.T) { s.apiAnswers(t, first) })
	t.Run("delivering the same again changes nothing", func(t *testing.T) { s.repeatsChangeNothing(t, first) })
	t.Run("a run that broke off is finished by the same command", func(t *testing.T) { s.brokenOffRunIsFinished(t, first) })
	t.Run("events wait out an outage of the database", func(t *testing.T) { s.outageLosesNothing(t) })
	t.Run("the functions may not write elsewhere", func(t *testing.T) { s.iamIsEnforced(t) })
	t.Run("a failed invocation reaches its destination", func(t *testing.T) { s.failureIsKept(t) })
	t.Run("the next day swaps the model and rollback swaps back", func(t *testing.T) { s.nextDaySwaps(t, first) })
}

// runBatch fires a day's batch and waits until its model is active; it returns the version.
func (s *system) runBatch(run lake.Run) string {
	s.t.Helper()
	var result struct {
		Stages []struct{ Stage, Name, Detail string }
	}
	s.millrace(&result, "run", "--date", run.Time().Format(time.RFC3339), "--wait", "--timeout", patience.String())
	load := result.Stages[len(result.Stages)-1]
	require.Equal(s.t, "load", load.Stage)
	require.Equal(s.t, "active", load.Detail)
	return load.Name
}

func (s *system) stagesAgree(t *testing.T, run lake.Run) {
	ctx := t.Context()
	for _, table := range s.dataset.TableNames() {
		var rows int64
		require.NoError(t, s.mysql.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&rows))
		raw, _, err := lake.ReadMarker[lake.RawManifest](ctx, s.lake, lake.RawMarker(table, run), lake.RawFormat)
		require.NoError(t, err)
		curated, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, s.lake, lake.CuratedMarker(table, run), lake.CuratedFormat)
		require.NoError(t, err)
		require.Positive(t, rows)
		require.Equal(t, []int64{rows, rows}, []int64{raw.Rows, curated.Rows}, table)
		require.Equal(t, raw.Source, raw.Checksum, table)
		require.Equal(t, raw.Checksum, curated.Checksum, table)
		for _, file := range curated.Files {
			require.Len(t, s.rows(t, file, curated.Columns), int(file.Rows), file.Key)
		}
	}
}

// trainingSetEqualsJoin compares, as text and row by row, with the join that the database itself computes.
func (s *system) trainingSetEqualsJoin(t *testing.T, run lake.Run) {
	ctx := t.Context()
	rows, err := s.mysql.QueryContext(ctx, `
		SELECT c.customerNumber, c.city, c.state, c.postalCode, c.country, c.creditLimit,
		       p.productCode, p.productLine, p.productScale, p.quantityInStock, p.buyPrice, p.MSRP, r.productRating
		FROM ratings r JOIN products p ON p.productCode = r.productCode JOIN customers c ON c.customerNumber = r.customerNumber`)
	require.NoError(t, err)
	defer rows.Close()
	var want []string
	for rows.Next() {
		fields := make([]sql.NullString, 13)
		targets := make([]any, len(fields))
		for i := range fields {
			targets[i] = &fields[i]
		}
		require.NoError(t, rows.Scan(targets...))
		want = append(want, line(fields))
	}
	require.NoError(t, rows.Err())

	marker, _, err := lake.ReadMarker[lake.TrainingSuccess](ctx, s.lake, lake.TrainingMarker("classicmodels", run), lake.TrainingFormat)
	require.NoError(t, err)
	require.Equal(t, "ratings_ml_training", marker.Table)
	var got []string
	for _, file := range marker.Files {
		for _, fields := range s.rows(t, file, marker.Columns) {
			got = append(got, line(fields))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	require.Greater(t, len(want), 3000)
	require.Equal(t, want, got)
	require.EqualValues(t, len(got), marker.Rows)
}

func line(fields []sql.NullString) string {
	var b strings.Builder
	for _, f := range fields {
		if f.Valid {
			b.WriteString(f.String)
		} else {
			b.WriteString("\\N")
		}
		b.WriteByte('\t')
	}
	return b.String()
}

func (s *system) modelIsGood(t *testing.T, version string) {
	ctx := t.Context()
	manifest, _, err := lake.ReadMarker[lake.ModelManifest](ctx, s.lake, lake.ModelMarker(version), lake.ModelFormat)
	require.NoError(t, err)
	require.Equal(t, lake.Candidate, manifest.State)
	for entity, table := range map[int64]string{manifest.Counts.Items: "products", manifest.Counts.Users: "customers"} {
		var rows int64
		require.NoError(t, s.mysql.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&rows))
		require.Equal(t, rows, entity, table)
	}
	body, _, err := s.lake.Get(ctx, lake.ModelDir(version)+"metrics.json")
	require.NoError(t, err)
	defer body.Close()
	var metrics struct {
		State string
		Gain  struct {
			NDCG     float64                     `json:"ndcg"`
			Interval struct{ Low, High float64 } `json:"ndcg_interval_95"`
		} `json:"gain_over_popularity"`
	}
	require.NoError(t, json.NewDecoder(body).Decode(&metrics))
	require.Equal(t, lake.Candidate, metrics.State)
	require.Positive(t, metrics.Gain.Interval.Low, "better than popularity beyond chance")
}

// put sends raw payloads to the event stream.
func (s *system) put(payloads ...string) {
	s.t.Helper()
	stream := s.outputs["EventStreamName"]
	client := kinesis.NewFromConfig(s.aws)
	var records []types.PutRecordsRequestEntry
	for i, p := range payloads {
		records = append(records, types.PutRecordsRequestEntry{Data: []byte(p), PartitionKey: aws.String(fmt.Sprint(i % 7))})
	}
	out, err := client.PutRecords(s.t.Context(), &kinesis.PutRecordsInput{StreamName: &stream, Records: records})
	require.NoError(s.t, err)
	require.Zero(s.t, *out.FailedRecordCount)
}

// lines reads every line that Firehose has delivered below prefix.
func (s *system) lines(t *testing.T, prefix string) []map[string]any {
	ctx := t.Context()
	keys, err := s.lake.List(ctx, prefix)
	require.NoError(t, err)
	var all []map[string]any
	for _, key := range keys {
		body, _, err := s.lake.Get(ctx, key)
		require.NoError(t, err)
		decoder := json.NewDecoder(body)
		for decoder.More() {
			var record map[string]any
			require.NoError(t, decoder.Decode(&record), "%s: every line is valid JSON", key)
			all = append(all, record)
		}
		require.NoError(t, body.Close())
	}
	return all
}

func (s *system) eventsAreServed(t *testing.T, version string) {
	const broken = `{"session_id":"broken","customer_number":`
	sent := map[string]string{ // session_id → event
		"known":    `{"session_id":"known","customer_number":103,"city":"Nantes","country":"France","credit_limit":21000,"browse_history":[{"product_code":"S18_1749","quantity":2,"in_shopping_cart":true}]}`,
		"unknown":  `{"session_id":"unknown","customer_number":999999,"city":"São Paulo","country":"Brazil","credit_limit":5000.5,"browse_history":[{"product_code":"S10_1678","quantity":"3","in_shopping_cart":false}],"campaign":{"id":7}}`,
		"unrated":  `{"session_id":"unrated","customer_number":112,"city":"Las Vegas","country":"USA","credit_limit":71800,"browse_history":[{"product_code":"S18_3233","quantity":1,"in_shopping_cart":false}]}`,
		"nonascii": `{"session_id":"nonascii","customer_number":900003,"city":"東京","country":"Japan","credit_limit":12000,"browse_history":[{"product_code":"S24_3969","quantity":"1","in_shopping_cart":true},{"product_code":"S18_2248","quantity":4,"in_shopping_cart":false}]}`,
		"nothing":  `{"session_id":"nothing","customer_number":900004,"city":"Oslo","country":"Norway","credit_limit":1,"browse_history":[]}`,
		"foreign":  `{"session_id":"foreign","customer_number":900005,"city":"Oslo","country":"Norway","credit_limit":1,"browse_history":[{"product_code":"NO_SUCH","quantity":1,"in_shopping_cart":false}]}`,
	}
	s.put(sent["known"], sent["unknown"], broken, sent["unrated"], sent["nonascii"], sent["nothing"], sent["foreign"])

	var records []map[string]any
	s.eventually("a recommendation record for each good event", func() bool {
		records = s.lines(t, "recommendations/")
		return len(records) >= len(sent)
	})
	require.Len(t, records, len(sent))
	seen := map[string]bool{}
	for _, r := range records {
		session := r["session_id"].(string)
		var input map[string]any
		require.NoError(t, json.Unmarshal([]byte(sent[session]), &input))
		for field, value := range input {
			require.Equal(t, value, r[field], "%s: the input's %s is in the output", session, field)
		}
		require.Equal(t, version, r["model_version"])
		for _, field := range []string{"event_id", "recommendation_id", "generated_at", "strategy"} {
			require.NotEmpty(t, r[field], "%s: %s", session, field)
		}
		require.False(t, seen[r["event_id"].(string)], "event_id is unique")
		seen[r["event_id"].(string)] = true
		list(t, r["recommended_items"], "score", -1)
		similar := r["similar_items"].(map[string]any)
		require.NotEmpty(t, similar["product_code"])
		list(t, similar["similar_items"], "distance", +1)
	}
	require.Equal(t, "known_user", bySession(records, "known")["strategy"])
	require.Equal(t, "S18_1749", bySession(records, "known")["similar_items"].(map[string]any)["product_code"])
	require.NotEqual(t, bySession(records, "known")["recommended_items"], bySession(records, "unrated")["recommended_items"])

	lineage, err := lake.Trace(t.Context(), s.lake, lake.ModelMarker(version))
	require.NoError(t, err)
	extracted := map[string]bool{}
	var walk func(lake.Lineage)
	walk = func(n lake.Lineage) {
		require.True(t, n.Intact, n.Key)
		if n.Header.Format == lake.RawFormat {
			extracted[n.Table] = true
			require.NotEmpty(t, n.Server)
		}
		for _, up := range n.Parents {
			walk(up)
		}
	}
	walk(lineage)
	require.Equal(t, map[string]bool{"ratings": true, "products": true, "customers": true}, extracted)

	var quarantined []string
	s.eventually("the unparsable event in quarantine", func() bool {
		var err error
		quarantined, err = s.lake.List(t.Context(), "quarantine/recommender/")
		require.NoError(t, err)
		return len(quarantined) > 0
	})
	require.Len(t, quarantined, 1)
	rejected := s.lines(t, "quarantine/recommender/")[0]
	require.NotEmpty(t, rejected["reason"])
	require.Contains(t, fmt.Sprint(rejected), "broken")

	s.eventually("every event, the broken one too, archived in activity/", func() bool {
		keys, err := s.lake.List(t.Context(), "activity/")
		require.NoError(t, err)
		var text strings.Builder
		for _, key := range keys {
			body, _, err := s.lake.Get(t.Context(), key)
			require.NoError(t, err)
			content := new(bytes.Buffer)
			_, err = content.ReadFrom(body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			text.Write(content.Bytes())
		}
		for session := range sent {
			if !strings.Contains(text.String(), `"session_id":"`+session+`"`) {
				return false
			}
		}
		return strings.Contains(text.String(), broken)
	})
}

// repeatedBatchHasNoSecondEffect delivers events that were answered once more, as Kinesis does after a failure: users' state
// stays, and the lake gets the same events again, not others.
func (s *system) repeatedBatchHasNoSecondEffect(t *testing.T) {
	activity := func() (rows string) {
		connection, err := pgx.Connect(t.Context(), s.cloud.Addresses.PostgresURL)
		require.NoError(t, err)
		defer connection.Close(t.Context())
		require.NoError(t, connection.QueryRow(t.Context(), "SELECT string_agg(a::text, E'\\n' ORDER BY event_id) FROM millrace.user_activity a").Scan(&rows))
		return rows
	}
	answers := func() map[string]map[string]any {
		found := map[string]map[string]any{}
		for _, r := range s.lines(t, "recommendations/") {
			id := r["event_id"].(string)
			if earlier := found[id]; earlier != nil {
				require.Equal(t, earlier["recommendation_id"], r["recommendation_id"])
				require.Equal(t, earlier["recommended_items"], r["recommended_items"])
			} else {
				found[id] = r
			}
		}
		return found
	}
	state, before := activity(), answers()
	require.Contains(t, state, "S18_1749")

	var batch events.KinesisEvent
	for id, r := range before {
		_, sequence, _ := strings.Cut(id, ":")
		event, err := json.Marshal(map[string]any{
			"session_id": r["session_id"], "customer_number": r["customer_number"], "city": r["city"], "country": r["country"],
			"credit_limit": r["credit_limit"], "browse_history": r["browse_history"],
		})
		require.NoError(t, err)
		batch.Records = append(batch.Records, events.KinesisEventRecord{
			EventID: id, EventName: "aws:kinesis:record", EventSource: "aws:kinesis",
			Kinesis: events.KinesisRecord{
				SequenceNumber: sequence, PartitionKey: "again", Data: event,
				ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: time.Now()}, // later: an update would show
			},
		})
	}
	payload, err := json.Marshal(batch)
	require.NoError(t, err)
	for range 2 {
		s.invoke(t, "RecommenderFunctionName", string(payload))
	}
	require.Equal(t, state, activity())
	s.eventually("the repeated answers in the lake", func() bool { return len(s.lines(t, "recommendations/")) >= 3*len(before) })
	require.Len(t, answers(), len(before), "the same events, none new")
}

// list checks five different items in the direction (−1: descending) of their figure.
func list(t *testing.T, v any, figure string, direction float64) {
	t.Helper()
	items := v.([]any)
	require.Len(t, items, 5)
	ids := map[string]bool{}
	for i, item := range items {
		item := item.(map[string]any)
		ids[item["id"].(string)] = true
		if i > 0 {
			before := items[i-1].(map[string]any)[figure].(float64)
			require.GreaterOrEqual(t, direction*(item[figure].(float64)-before), 0.0)
		}
	}
	require.Len(t, ids, 5)
}

func bySession(records []map[string]any, session string) map[string]any {
	for _, r := range records {
		if r["session_id"] == session {
			return r
		}
	}
	return nil
}

// objects lists the batch's objects with their ETags.
func (s *system) objects(t *testing.T) map[string]string {
	client := s3.NewFromConfig(s.aws, func(o *s3.Options) { o.UsePathStyle = true })
	etags := map[string]string{}
	for _, prefix := range []string{"raw/", "curated/", "training/", "models/"} {
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(s.outputs["LakeBucketName"]), Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, object := range page.Contents {
				etags[*object.Key] = *object.ETag + object.LastModified.String()
			}
		}
	}
	return etags
}

func (s *system) repeatsChangeNothing(t *testing.T, version string) {
	before := s.objects(t)
	models := s.models()
	announce := func(function, key string) {
		payload, err := json.Marshal(map[string]any{
			"source": "aws.s3", "detail-type": "Object Created",
			"detail": map[string]any{"bucket": map[string]any{"name": s.outputs["LakeBucketName"]}, "object": map[string]any{"key": key}},
		})
		require.NoError(t, err)
		s.invoke(t, function, string(payload))
	}
	s.invoke(t, "ExtractorFunctionName", `{"table":"ratings","scheduled_time":"`+s.firstRun.Time().Format(time.RFC3339)+`"}`)
	announce("PartitionerFunctionName", lake.RawMarker("ratings", s.firstRun))
	announce("TrainsetFunctionName", lake.CuratedMarker("ratings", s.firstRun))
	announce("TrainerFunctionName", lake.TrainingMarker("classicmodels", s.firstRun))
	announce("LoaderFunctionName", lake.ModelMarker(version))
	require.Equal(t, before, s.objects(t))
	require.Equal(t, models, s.models())
}

// outageLosesNothing stops PostgreSQL, sends events, and starts it again.
func (s *system) outageLosesNothing(t *testing.T) {
	servers, err := cloud.Status(s.settings)
	require.NoError(t, err)
	for _, server := range servers {
		if server.Name == "postgres" {
			process, err := os.FindProcess(server.PID)
			require.NoError(t, err)
			require.NoError(t, process.Signal(syscall.SIGINT)) // PostgreSQL's fast shutdown
			s.eventually("PostgreSQL stopped", func() bool { return !server.Running() })
		}
	}
	s.put(`{"session_id":"outage-1","customer_number":103,"browse_history":[]}`, `{"session_id":"outage-2","customer_number":112,"browse_history":[]}`)
	time.Sleep(3 * time.Second) // deliveries fail meanwhile
	require.Nil(t, bySession(s.lines(t, "recommendations/"), "outage-1"))
	_, err = cloud.Up(t.Context(), s.settings, t.Output())
	require.NoError(t, err)
	s.eventually("the events of the outage answered", func() bool {
		records := s.lines(t, "recommendations/")
		return bySession(records, "outage-1") != nil && bySession(records, "outage-2") != nil
	})
}

// brokenOffRunIsFinished takes away what the last stages published, as if they had failed for good, and runs the day again.
func (s *system) brokenOffRunIsFinished(t *testing.T, version string) {
	before := s.objects(t)
	for _, key := range []string{lake.CuratedMarker("orders", s.firstRun), lake.TrainingMarker("classicmodels", s.firstRun), lake.ModelMarker(version)} {
		require.NoError(t, s.lake.Delete(t.Context(), key))
	}
	require.Equal(t, version, s.runBatch(s.firstRun))
	s.eventually("the table that has no part in training, too", func() bool {
		_, _, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), s.lake, lake.CuratedMarker("orders", s.firstRun), lake.CuratedFormat)
		return err == nil
	})
	after := s.objects(t)
	require.Len(t, after, len(before))
	for key := range before {
		require.Contains(t, after, key)
	}
}

// invoke calls a function and waits for its answer, which must be a success.
func (s *system) invoke(t *testing.T, output, payload string) {
	t.Helper()
	function := s.outputs[output]
	out, err := lambda.NewFromConfig(s.aws).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &function, Payload: []byte(payload)})
	require.NoError(t, err)
	require.Nil(t, out.FunctionError, "%s: %s", output, out.Payload)
}

type modelVersion struct {
	Version string
	State   string
}

func (s *system) models() []modelVersion {
	s.t.Helper()
	var status struct{ Models []modelVersion }
	s.millrace(&status, "status")
	return status.Models
}

func (s *system) active(t *testing.T) string {
	t.Helper()
	for _, m := range s.models() {
		if m.State == "active" {
			return m.Version
		}
	}
	return ""
}

func (s *system) nextDaySwaps(t *testing.T, first string) {
	_, err := seed.NextDay(t.Context(), s.mysql)
	require.NoError(t, err)
	second := s.runBatch(s.secondRun)
	require.NotEqual(t, first, second)
	require.Equal(t, second, s.active(t))
	s.stagesAgree(t, s.secondRun)

	s.millrace(nil, "rollback")
	require.Equal(t, first, s.active(t))
	s.put(`{"session_id":"after-rollback","customer_number":103,"browse_history":[{"product_code":"S18_1749","quantity":1,"in_shopping_cart":false}]}`)
	s.eventually("an event served by the model rolled back to", func() bool {
		r := bySession(s.lines(t, "recommendations/"), "after-rollback")
		return r != nil && r["model_version"] == first
	})
	s.trafficIsSplit(t, first, second)
	s.activityIsReplayed(t, second)
}
