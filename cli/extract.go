package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
)

// extraction is a run of a table as it has landed.
type extraction struct {
	publication
	Dataset     string           `json:"dataset"` // the database's name: there is no dataset file
	Mode        string           `json:"mode"`
	Watermark   *lake.Watermark  `json:"watermark,omitempty"`
	Chunks      int              `json:"chunks"`
	Snapshot    lake.Snapshot    `json:"snapshot"`
	Source      checksum.Sum     `json:"source_checksum"`
	ZeroDates   map[string]int64 `json:"zero_dates,omitempty"`
	InvalidText map[string]int64 `json:"invalid_text,omitempty"`
	Drift       []string         `json:"drift,omitempty"`
	Resumed     int64            `json:"resumed_rows,omitempty"` // that had landed before this command
}

func newExtract(o *options) *cobra.Command {
	var from mysqlSource
	var r tableRun
	var settings dataset.Table
	var out string
	var drift []string
	cmd := &cobra.Command{
		Use:   "extract --dsn DSN --table T --run TIME --out DIR",
		Short: "Land one table of a MySQL or MariaDB server in a directory, as the extractor does in the lake",
		Long: `Land one table in a directory: Avro files, each chunk reconciled with the server's own checksum in
one snapshot, then the manifest. Keys and markers are the lake's (raw/<table>/dt=…/run=…/); no dataset
file is needed, the database's name stands for its name. A command that broke off goes on from its
checkpoint when it is repeated. --mode incremental reads the rows whose watermark column is at or above
the greatest value of the newest run of an earlier day in the same directory.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkExtract(&settings.Extract, drift); err != nil {
				return err
			}
			bar := newBar(cmd.ErrOrStderr())
			result, err := land(cmd.Context(), from, r, settings, out, bar, cmd.ErrOrStderr())
			bar.done()
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), result, func(w io.Writer) { result.print(w, out) })
		},
	}
	from.flags(cmd)
	r.flags(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&settings.Key, "key", nil, "columns that identify a row, a,b: what the Parquet files are sorted by; default: the table's primary key, else a unique one")
	flags.StringVar(&settings.Extract.Mode, "mode", dataset.Full, "full, or incremental: what has changed since the newest run of an earlier day; needs --watermark and a key")
	flags.StringVar(&settings.Extract.Watermark, "watermark", "", "column that says when a row was last changed or added: a date, datetime, timestamp or integer")
	flags.StringVar(&settings.Extract.Overlap, "overlap", "", fmt.Sprintf("what is read again before the last watermark, for transactions that committed late; default %s, for integers %d", extract.DefaultOverlap, extract.DefaultNumberOverlap))
	flags.StringVar(&settings.Extract.ZeroDates, "zero-dates", dataset.ZeroDatesFail, "fail, or null: dates such as 0000-00-00 become NULL and are counted")
	flags.StringVar(&settings.Extract.InvalidText, "invalid-text", dataset.InvalidTextFail, "fail, or null: text that is not UTF-8 becomes NULL and is counted")
	flags.StringArrayVar(&drift, "accept-drift", nil, "column=type or column=dropped: a change since the last run that would break its readers, and that they can take")
	flags.StringVar(&out, "out", "", "directory that takes the place of the lake's bucket")
	required(cmd, "out")
	return cmd
}

func checkExtract(e *dataset.Extract, drift []string) error {
	var problems []error
	one := func(flag, value string, of ...string) {
		if !slices.Contains(of, value) {
			problems = append(problems, fmt.Errorf("--%s %q: want %s", flag, value, strings.Join(of, " or ")))
		}
	}
	one("mode", e.Mode, dataset.Full, dataset.Incremental)
	one("zero-dates", e.ZeroDates, dataset.ZeroDatesFail, dataset.ZeroDatesNull)
	one("invalid-text", e.InvalidText, dataset.InvalidTextFail, dataset.InvalidTextNull)
	if e.Mode == dataset.Incremental && e.Watermark == "" {
		problems = append(problems, errors.New("--mode incremental: name the column that says when a row was last changed or added with --watermark"))
	}
	e.Drift = map[string]string{}
	for _, d := range drift {
		column, is, ok := strings.Cut(d, "=")
		if !ok {
			problems = append(problems, fmt.Errorf("--accept-drift %q: want column=type or column=%s", d, dataset.Dropped))
		}
		e.Drift[column] = is
	}
	return errors.Join(problems...)
}

// land extracts into the directory out.
func land(ctx context.Context, from mysqlSource, r tableRun, settings dataset.Table, out string, bar *bar, notices io.Writer) (x extraction, err error) {
	server, database, err := from.open()
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	debug.SetGCPercent(extract.GCPercent)
	pace := pace{began: time.Now()}
	result, err := (&extract.Extractor{
		Server: server, Store: lake.NewDirectory(out), Limits: extract.DefaultLimits, Ranges: rangesInFlight,
		Notice:   func(text string) { fmt.Fprintf(notices, "%s, run %s: %s\n", r.table, r.run, text) },
		Progress: func(p extract.Progress) { bar.step("%s", pace.of(p)) },
	}).Extract(ctx, extract.Request{Dataset: database, Table: r.table, Settings: settings, Mode: settings.Extract.Mode, Run: r.run})
	if drift := new(extract.DriftError); errors.As(err, &drift) {
		return x, acceptDrift(drift)
	} else if err != nil {
		return x, err
	}
	m := result.Manifest
	if m.Dataset != database || settings.Key != nil && !slices.Equal(settings.Key, m.Key) {
		return x, fmt.Errorf("--out %s has run %s of table %s already, from database %s with key %v: name another --out or --run", out, r.run, r.table, m.Dataset, m.Key)
	}
	asked := settings.Extract
	if m.Mode != asked.Mode || m.Watermark != nil && m.Watermark.Column != asked.Watermark {
		return x, fmt.Errorf("--out %s has run %s of table %s already, with another --mode (%s) or --watermark: name another --out or --run", out, r.run, r.table, m.Mode)
	}
	return extraction{
		publication: publication{m.Table, m.Run, result.Key, result.Published, m.Rows, len(m.Files), bytesOf(m.Files), m.Key, m.Checksum},
		Dataset:     m.Dataset, Mode: m.Mode, Watermark: m.Watermark, Chunks: len(m.Chunks), Snapshot: m.Snapshot, Source: m.Source,
		ZeroDates: m.ZeroDates, InvalidText: m.InvalidText, Drift: m.Drift, Resumed: result.Resumed,
	}, nil
}

// rangesInFlight is how many connections read a large table at once, as in the extractor.
const rangesInFlight = 2

// acceptDrift names the flags that stand for the dataset's lines.
func acceptDrift(e *extract.DriftError) error {
	flags := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		flags[i] = fmt.Sprintf("--accept-drift '%s=%s'", c.Column, c.Is)
	}
	return fmt.Errorf("%s. Nothing is written. If its readers can take that, repeat the command with %s", e.List(), strings.Join(flags, " "))
}

// pace tells how fast an extraction is, and how long it may still take.
type pace struct {
	began time.Time
	first int64 // rows that had landed before, and those of the first chunk
}

func (p *pace) of(now extract.Progress) string {
	if p.first == 0 {
		p.began, p.first = time.Now(), now.Rows
	}
	text := fmt.Sprintf("%s: %d rows, %s reconciled", now.Table, now.Rows, plural(now.Chunks, "chunk"))
	seconds := time.Since(p.began).Seconds()
	if now.Rows == p.first || seconds < 1 {
		return text
	}
	rate := float64(now.Rows-p.first) / seconds
	text += fmt.Sprintf(", %.0f rows/s", rate)
	if left := now.EstimatedRows - now.Rows; left > 0 { // the server's estimate may be far off
		text += fmt.Sprintf(", about %s left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return text
}

func (x extraction) print(w io.Writer, out string) {
	x.publication.print(w, out)
	fmt.Fprintf(w, "reconciled   with MySQL %s in %s; %s snapshot: %s\n", x.Snapshot.Server, plural(x.Chunks, "chunk"), x.Snapshot.Kind, x.Snapshot.Reason)
	if at := x.Snapshot.Log; at != "" {
		fmt.Fprintf(w, "position     %s\n", at)
	}
	if x.Watermark != nil {
		fmt.Fprintf(w, "watermark    %s\n", bounds(x.Watermark))
	}
	for _, counted := range []struct {
		what    string
		columns map[string]int64
	}{{"zero dates", x.ZeroDates}, {"invalid text", x.InvalidText}} {
		for column, n := range counted.columns {
			fmt.Fprintf(w, "%-12s %s: %d became NULL\n", counted.what, column, n)
		}
	}
	for _, change := range x.Drift {
		fmt.Fprintf(w, "drift        %s\n", change)
	}
}

func bounds(w *lake.Watermark) string {
	low := "the beginning"
	if w.Low != nil {
		low = *w.Low
	}
	return fmt.Sprintf("%s from %s to %s, both included", w.Column, low, w.High)
}
