package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
)

func TestAFileOfEventsIsAnsweredWithoutACloud(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "model")
	_, err := millrace(t, "train", "--interactions", ratings(t), "--dim", "8", "--epochs", "3", "--out", dir)
	require.NoError(t, err)
	var lines []string
	for n := range 70 { // more than are answered at once
		lines = append(lines, fmt.Sprintf(`{"session_id":"s%d","customer_number":"user %d","browse_history":[{"product_code":"item %d"}]}`, n, n, n%120))
	}
	lines[3] = `{"customer_number":"user 3","browse_history":[{"product_code":"item 3","quantity":"NaN"}]}`
	lines[10] = `{"customer_number":` + strings.Repeat("[", 300<<10)
	lines[40] = ""
	events := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(events, []byte("\ufeff"+strings.Join(lines, "\r\n")), 0o600)) // from an editor of another world

	out := filepath.Join(t.TempDir(), "records.jsonl")
	var stdout, stderr bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs([]string{"recommend", "--model", dir, "--events", events, "--out", out})
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err = cmd.ExecuteContext(t.Context())
	var rejected rejectedEvents
	require.ErrorAs(t, err, &rejected)
	require.EqualValues(t, 2, rejected)
	require.Empty(t, stdout.String())
	reasons := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Len(t, reasons, 2)
	require.Contains(t, reasons[0], events+`:4: field "browse_history[0].quantity" is "NaN"`)
	require.Contains(t, reasons[1], events+":11: more than the 262144 bytes")

	text, err := os.ReadFile(out)
	require.NoError(t, err)
	records := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, records, 67)
	last := ""
	for _, line := range records {
		var r struct {
			Session     string           `json:"session_id"`
			EventID     string           `json:"event_id"`
			Strategy    string           `json:"strategy"`
			Recommended []map[string]any `json:"recommended_items"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		var n int
		_, err := fmt.Sscanf(r.Session, "s%d", &n)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("events.jsonl:%d", n+1), r.EventID)
		require.Equal(t, "known_user", r.Strategy)
		require.Len(t, r.Recommended, 5)
		require.NotEqual(t, last, r.EventID)
		last = r.EventID
	}
	for _, args := range [][]string{{"--model", dir, "--events", events + ".none"}, {"--model", dir + "none", "--events", events}, {"--model", dir, "--events", events, "--dataset", "none"}} {
		_, err = millrace(t, append([]string{"recommend", "--out", out}, args...)...)
		require.Error(t, err)
		kept, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, text, kept, "nothing is overwritten before records can be made")
	}
	_, err = millrace(t, "recommend", "--model", dir, "--events", events, "--out", filepath.Join(filepath.Dir(events), ".", "events.jsonl"))
	require.ErrorContains(t, err, "is the file of events")
	_, err = millrace(t, "recommend", "--model", dir, "--events", filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = millrace(t, "recommend", "--model", t.TempDir(), "--events", events)
	require.ErrorContains(t, err, "is no artifact")
	_, err = millrace(t, "recommend", "--model", dir)
	require.ErrorContains(t, err, "events")
	_, err = millrace(t, "recommend")
	require.ErrorContains(t, err, "name a user")
}

func TestAFileOfEventsIsAnsweredFromTheDatabaseAsFromTheArtifact(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	dir := filepath.Join(t.TempDir(), "model")
	_, err := millrace(t, "train", "--interactions", ratings(t), "--dim", "8", "--epochs", "3", "--out", dir)
	require.NoError(t, err)
	_, err = millrace(t, "load", "--model", dir, "--postgres", database)
	require.NoError(t, err)
	var lines []string
	for n := range 70 {
		lines = append(lines, fmt.Sprintf(`{"session_id":"s%d","customer_number":"user %d","browse_history":[{"product_code":"item %d","in_shopping_cart":true}]}`, n, n*3, n%120))
	}
	lines[50] = `{"browse_history":7}`
	events := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(events, []byte(strings.Join(lines, "\n")), 0o600))

	answer := func(arguments ...string) (records []map[string]any) {
		var stdout, stderr bytes.Buffer
		cmd := newCommand()
		cmd.SetArgs(append([]string{"recommend", "--events", events}, arguments...))
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		var rejected rejectedEvents
		require.ErrorAs(t, cmd.ExecuteContext(t.Context()), &rejected)
		require.EqualValues(t, 1, rejected)
		require.Contains(t, stderr.String(), events+":51: ")
		for line := range strings.Lines(stdout.String()) {
			var r map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			delete(r, "generated_at")
			records = append(records, r)
		}
		return records
	}
	want := answer("--model", dir)
	require.Len(t, want, 69)
	require.Equal(t, want, answer("--postgres", database))

	_, err = millrace(t, "recommend", "--postgres", database, "--model", dir, "--events", events)
	require.ErrorContains(t, err, "none of the others can be")
	_, err = millrace(t, "recommend", "--postgres", database)
	require.ErrorContains(t, err, "--events FILE")
	_, err = millrace(t, "recommend", "--postgres", postgrestest.Database(t), "--events", events)
	require.ErrorContains(t, err, "no model is active")
}
