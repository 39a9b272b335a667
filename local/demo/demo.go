// Package demo shows the whole system at work: rows, batch, model, events, recommendations, and the way back to the rows.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// Demo runs on a cloud into which the template is deployed.
type Demo struct {
	Cloud *cloud.Cloud
	Root  string // of the checkout
	Dir   string // where the operator's command is built to
	Out   io.Writer
}

// patience is how long the stream may take; on a laptop it takes two seconds.
const patience = time.Minute

// Run fires the batch, sends the shop's events, and prints what comes of them.
func (d *Demo) Run(ctx context.Context) error {
	outputs, err := d.Cloud.Outputs(ctx)
	if err != nil {
		return err
	}
	store := lake.NewBucket(d.Cloud.AWSConfig(), outputs["LakeBucketName"])
	cli, err := d.buildCLI(ctx)
	if err != nil {
		return err
	}

	d.title("The nightly batch, now: MySQL → raw → curated → training set → model → PostgreSQL")
	if err := d.millrace(ctx, cli, d.Out, "run", "--wait"); err != nil {
		return err
	}
	version, err := d.active(ctx, cli)
	if err != nil {
		return err
	}
	artifact, err := model.Open(ctx, store, lake.ModelMarker(version))
	if err != nil {
		return err
	}

	d.title("The stream: shop events → Kinesis → recommender → Firehose → S3")
	before, err := count(ctx, store)
	if err != nil {
		return err
	}
	if err := d.millrace(ctx, cli, d.Out, "send", filepath.Join(d.Root, "events", "shop.jsonl")); err != nil {
		return err
	}
	records, err := d.wait(ctx, store, before)
	if err != nil {
		return err
	}
	names, err := itemNames(ctx, artifact)
	if err != nil {
		return err
	}
	d.table(records, names)

	id := records[0].RecommendationID
	d.title("Where that comes from: millrace lineage " + id)
	if err := d.millrace(ctx, cli, d.Out, "lineage", id); err != nil {
		return err
	}
	d.further(outputs, cli)
	return nil
}

// title is bold on a terminal.
func (d *Demo) title(text string) {
	if f, ok := d.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		text = "\033[1m" + text + "\033[0m"
	}
	fmt.Fprintf(d.Out, "\n%s\n", text)
}

func (d *Demo) buildCLI(ctx context.Context) (string, error) {
	cli := filepath.Join(d.Dir, "bin", "millrace")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", cli, "./cli")
	build.Dir = d.Root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the operator's command: %w\n%s", err, out)
	}
	return cli, nil
}

// millrace runs the operator's command against this cloud.
func (d *Demo) millrace(ctx context.Context, cli string, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, cli, args...)
	cmd.Env = os.Environ()
	for _, v := range d.Cloud.Env() {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	cmd.Stdout, cmd.Stderr = out, d.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("millrace %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (d *Demo) active(ctx context.Context, cli string) (string, error) {
	var out strings.Builder
	if err := d.millrace(ctx, cli, &out, "status", "--json"); err != nil {
		return "", err
	}
	var status struct {
		Models []struct{ Version, State string }
	}
	if err := json.Unmarshal([]byte(out.String()), &status); err != nil {
		return "", fmt.Errorf("millrace status --json: %w", err)
	}
	for _, m := range status.Models {
		if m.State == "active" {
			return m.Version, nil
		}
	}
	return "", errors.New("no model is active: millrace status shows why the last one was rejected")
}

// record is what the table shows of a line in recommendations/.
type record struct {
	RecommendationID string `json:"recommendation_id"`
	ModelVersion     string `json:"model_version"`
	Strategy         string `json:"strategy"`
	Customer         any    `json:"customer_number"`
	City             string `json:"city"`
	History          []struct {
		Product string `json:"product_code"`
	} `json:"browse_history"`
	Recommended []struct {
		ID      string  `json:"id"`
		Score   float64 `json:"score"`
		Because string  `json:"because"`
	} `json:"recommended_items"`
	Similar struct {
		Product string `json:"product_code"`
		Items   []struct {
			ID       string  `json:"id"`
			Distance float64 `json:"distance"`
		} `json:"similar_items"`
	} `json:"similar_items"`
}

// sent is the number of lines of events/shop.jsonl: each becomes one record.
func (d *Demo) sent() (int, error) {
	text, err := os.ReadFile(filepath.Join(d.Root, "events", "shop.jsonl"))
	return strings.Count(string(text), "\n"), err
}

func count(ctx context.Context, store lake.Store) (int, error) {
	keys, err := store.List(ctx, "recommendations/")
	return len(keys), err
}

// wait reads the records that were delivered after the first `before` objects.
func (d *Demo) wait(ctx context.Context, store lake.Store, before int) ([]record, error) {
	want, err := d.sent()
	if err != nil {
		return nil, err
	}
	started := time.Now()
	for {
		keys, err := store.List(ctx, "recommendations/")
		if err != nil {
			return nil, err
		}
		var records []record
		for _, key := range keys[min(before, len(keys)):] {
			more, err := read(ctx, store, key)
			if err != nil {
				return nil, err
			}
			records = append(records, more...)
		}
		if len(records) >= want {
			fmt.Fprintf(d.Out, "%d records in recommendations/ after %.1f s\n\n", len(records), time.Since(started).Seconds())
			return records, nil
		}
		if time.Since(started) > patience {
			return nil, fmt.Errorf("only %d of %d events answered within %s: see make logs-recommender, and quarantine/ in the lake", len(records), want, patience)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func read(ctx context.Context, store lake.Store, key string) ([]record, error) {
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var records []record
	for decoder := json.NewDecoder(body); decoder.More(); {
		var r record
		if err := decoder.Decode(&r); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		records = append(records, r)
	}
	return records, nil
}

func itemNames(ctx context.Context, artifact *model.Artifact) (map[string]string, error) {
	names := map[string]string{}
	for item, err := range artifact.Items(ctx) {
		if err != nil {
			return nil, err
		}
		names[item.ID] = item.Name
	}
	return names, nil
}

// table prints a line per event: who, what was looked at, the best of the five recommendations, and why.
func (d *Demo) table(records []record, names map[string]string) {
	name := func(id string) string {
		if names[id] == "" {
			return id + " (not in the shop)"
		}
		return names[id]
	}
	const line = "%-8v %-14s %-38s %-38s %s\n"
	fmt.Fprintf(d.Out, line, "CUSTOMER", "CITY", "LOOKED AT", "RECOMMENDED FIRST", "WHY")
	for _, r := range records {
		fmt.Fprintf(d.Out, line, r.Customer, clip(r.City, 14), clip(r.lookedAt(name), 38), clip(name(r.Recommended[0].ID), 38), r.why(0, name))
	}
	best := records[0]
	fmt.Fprintf(d.Out, "\nAll five for customer %v, by model %s:\n", best.Customer, best.ModelVersion)
	for i, item := range best.Recommended {
		fmt.Fprintf(d.Out, "  %6.3f  %-10s %-38s %s\n", item.Score, item.ID, clip(name(item.ID), 38), best.why(i, name))
	}
	fmt.Fprintf(d.Out, "Similar to %s, which weighed most in the session:\n", name(best.Similar.Product))
	for _, item := range best.Similar.Items {
		fmt.Fprintf(d.Out, "  %6.3f  %-10s %s\n", item.Distance, item.ID, name(item.ID))
	}
}

func (r record) lookedAt(name func(string) string) string {
	switch len(r.History) {
	case 0:
		return "nothing yet"
	case 1:
		return name(r.History[0].Product)
	}
	return fmt.Sprintf("%s, %d more", clip(name(r.History[0].Product), 30), len(r.History)-1)
}

// why says what the i-th recommendation rests on: where the user's vector started, and what of the session raised it most.
func (r record) why(i int, name func(string) string) string {
	if because := r.Recommended[i].Because; because != "" {
		return r.Strategy + ", " + name(because)
	}
	return r.Strategy
}

// clip shortens text to n characters.
func clip(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

func (d *Demo) further(outputs map[string]string, cli string) {
	d.title("Look further")
	if relative, err := filepath.Rel(d.Root, cli); err == nil {
		cli = relative
	}
	fmt.Fprintf(d.Out, `  eval "$(make -s env)"    this cloud's addresses and credentials, for your shell and these:
  %s status   runs, markers, model versions, stream lag; also: recommend 103, rollback, run --date
  make logs-recommender STAGE=local
                           follows what a function logs (sam logs); Ctrl-C ends it
  psql "$POSTGRES_URL"     millrace.model_version, millrace.item_emb, millrace.user_activity
  aws athena start-query-execution --work-group %s --query-string 'SELECT * FROM %s.ratings_ml_training LIMIT 5'
  %s
                           the API: /models, /users/103/recommendations, /items/S18_1749/similar; signed requests only
  make down                stop what was started; the emulated cloud is in memory and forgets everything
`, cli, outputs["QueryWorkGroupName"], outputs["GlueDatabaseName"], outputs["ApiUrl"])
}
