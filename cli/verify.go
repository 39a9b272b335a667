package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// verification is a table in the database beside the same table in published Parquet.
type verification struct {
	Table     string       `json:"table"`
	Run       lake.Run     `json:"run"`
	Equal     bool         `json:"equal"`
	Database  checksum.Sum `json:"database"`  // now, by the server
	Published checksum.Sum `json:"published"` // of the rows read back from Parquet
	Files     int          `json:"files"`
	Server    string       `json:"server"`
	// Extracted is what the server counted when the run was extracted; absent where raw/ is not at hand.
	Extracted *checksum.Sum `json:"extracted,omitempty"`
	// Watermark bounds the rows that are compared, those of an incremental run.
	Watermark *lake.Watermark `json:"watermark,omitempty"`
	// Above counts the rows that are above the run's watermarks now: new ones, and those of the run that have changed since.
	Above int64 `json:"above_watermark,omitempty"`
}

func newVerify(o *options) *cobra.Command {
	var from mysqlSource
	var r tableRun
	var in string
	cmd := &cobra.Command{
		Use:   "verify --dsn DSN --in DIR --table T --run TIME",
		Short: "Compare published Parquet with the live table: count and content checksum",
		Long: `Compare published Parquet (curated/ below --in) with the live table: the server computes row count and
content checksum in one snapshot, millrace those of the rows it reads back from the files, which it
checks against their marker on the way. Of an incremental run, the rows between its watermarks are
compared. Exit status 1 if they differ.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bar := newBar(cmd.ErrOrStderr())
			v, err := verify(cmd.Context(), from, r, in, bar)
			bar.done()
			if err != nil {
				return err
			}
			return errors.Join(o.show(cmd.OutOrStdout(), v, v.print), v.difference())
		},
	}
	from.flags(cmd)
	r.flags(cmd)
	cmd.Flags().StringVar(&in, "in", "", "directory that holds curated/, and, for a third witness, raw/")
	required(cmd, "in")
	return cmd
}

func verify(ctx context.Context, from mysqlSource, r tableRun, in string, bar *bar) (v verification, err error) {
	store := lake.NewDirectory(in)
	key := lake.CuratedMarker(r.table, r.run)
	published, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, store, key, lake.CuratedFormat)
	if err != nil {
		return v, r.runsHint(ctx, err, store, in, "millrace partition --out "+in+" publishes one")
	}
	if published.Run != r.run {
		return v, fmt.Errorf("%s is of run %s: of one day's runs the newest is kept; verify it with --run %s",
			filepath.Join(in, filepath.FromSlash(key)), published.Run, published.Run)
	}
	manifest, err := extractionOf(ctx, store, published)
	if err != nil {
		return v, err
	}
	v = verification{Table: r.table, Run: r.run, Files: len(published.Files)}
	if manifest != nil {
		v.Extracted = &manifest.Source
	}
	if published.Mode == dataset.Incremental {
		v.Watermark = published.Watermark
	}
	bar.step("%s: the server computes its checksum", r.table)
	if err := v.askServer(ctx, from, published.Columns, manifest); err != nil {
		return v, err
	}
	if v.Published, err = readBack(ctx, store, published, bar); err != nil {
		return v, fmt.Errorf("published files of table %s, run %s: %w; remove %s and partition the run again",
			r.table, r.run, err, filepath.Join(in, filepath.FromSlash(key)))
	}
	v.Equal = v.Database == v.Published
	return v, nil
}

// extractionOf reads the raw manifest that the Parquet was made from, or returns nil where it is not at hand.
func extractionOf(ctx context.Context, s lake.Store, published lake.CuratedSuccess) (*lake.RawManifest, error) {
	for _, p := range published.Parents {
		manifest, err := lake.ReadParent[lake.RawManifest](ctx, s, p, lake.RawFormat)
		if errors.Is(err, lake.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		return &manifest, nil
	}
	return nil, nil
}

// askServer fills in what the database holds now.
func (v *verification) askServer(ctx context.Context, from mysqlSource, cols []schema.Column, manifest *lake.RawManifest) (err error) {
	server, _, err := from.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	snapshot, err := server.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	v.Server = snapshot.Version
	table, err := asExtracted(ctx, snapshot, v.Table, cols, manifest)
	if err != nil {
		return err
	}
	if v.Watermark == nil {
		v.Database, err = table.Checksum(ctx, mysqltable.Range{})
		return err
	}
	bounds := mysqltable.WatermarkBounds{Column: v.Watermark.Column, Low: v.Watermark.Low, High: v.Watermark.High}
	if v.Database, err = table.Checksum(ctx, mysqltable.Range{Watermark: &bounds}); err != nil {
		return err
	}
	high, _, err := table.High(ctx, bounds.Column)
	if err != nil || high == nil {
		return err
	}
	on := mysqltable.WatermarkBounds{Column: bounds.Column, Low: &bounds.High, High: *high}
	at := mysqltable.WatermarkBounds{Column: bounds.Column, Low: &bounds.High, High: bounds.High}
	since, err := table.Count(ctx, mysqltable.Range{Watermark: &on})
	if err != nil {
		return err
	}
	atHigh, err := table.Count(ctx, mysqltable.Range{Watermark: &at})
	v.Above = max(0, since-atHigh)
	return err
}

// asExtracted finds the table with the columns that were published. Which policies for zero dates and
// invalid text the extraction had is not recorded, but shows: under null, such columns are nullable.
// Where they are so anyway, a table in which none was met is compared as it is, so that a date that
// has become zero since is a difference.
func asExtracted(ctx context.Context, s *mysqltable.Snapshot, name string, cols []schema.Column, manifest *lake.RawManifest) (*mysqltable.Table, error) {
	dates := []mysqltable.ZeroDates{mysqltable.NullZeroDates, mysqltable.FailOnZeroDates}
	texts := []mysqltable.InvalidText{mysqltable.NullInvalidText, mysqltable.FailOnInvalidText}
	if manifest != nil && manifest.ZeroDates == nil {
		slices.Reverse(dates)
	}
	if manifest != nil && manifest.InvalidText == nil {
		slices.Reverse(texts)
	}
	var now []schema.Column
	for _, zeroDates := range dates {
		for _, invalidText := range texts {
			table, err := s.Table(ctx, name, mysqltable.Options{ZeroDates: zeroDates, InvalidText: invalidText})
			if err != nil {
				return nil, err
			}
			if slices.EqualFunc(cols, table.Columns, sameType) {
				return table, nil
			}
			if zeroDates == mysqltable.FailOnZeroDates && invalidText == mysqltable.FailOnInvalidText {
				now = table.Columns
			}
		}
	}
	return nil, fmt.Errorf("table %s was altered since the run, so that its rows cannot be compared: %s; extract and partition a newer run",
		name, strings.Join(alterations(cols, now), "; "))
}

// sameType leaves out how the server writes the type: a newer version may write int(11) as int.
func sameType(a, b schema.Column) bool {
	a.Source, b.Source = "", ""
	return a == b
}

func alterations(before, now []schema.Column) (changes []string) {
	for _, c := range before {
		if i := schema.Index(now, c.Name); i < 0 {
			changes = append(changes, "column "+c.Name+" is gone")
		} else if !sameType(c, now[i]) {
			changes = append(changes, fmt.Sprintf("column %s was %s, is %s", c.Name, typeOf(c), typeOf(now[i])))
		}
	}
	for _, c := range now {
		if schema.Index(before, c.Name) < 0 {
			changes = append(changes, "column "+c.Name+" is new")
		}
	}
	if changes == nil {
		changes = []string{"its columns stand in another order"}
	}
	return changes
}

// readBack is the checksum of the rows in the published files.
func readBack(ctx context.Context, s lake.Store, published lake.CuratedSuccess, bar *bar) (checksum.Sum, error) {
	sum := checksum.New(published.Columns)
	for _, file := range published.Files {
		for row, err := range laketable.Rows(ctx, s, file, published.Columns) {
			if err != nil {
				return checksum.Sum{}, err
			}
			if sum.Add(row); sum.Sum().Rows%rowsPerStep == 0 {
				bar.step("%s: %d of %d rows read back", published.Table, sum.Sum().Rows, published.Rows)
			}
		}
	}
	if got := sum.Sum(); got != published.Checksum {
		return got, fmt.Errorf("they hold %s, their marker says %s", got, published.Checksum)
	}
	return sum.Sum(), nil
}

func (v verification) print(w io.Writer) {
	fmt.Fprintf(w, "database     %s  (MySQL %s, now)\n", v.Database, v.Server)
	fmt.Fprintf(w, "published    %s  (read back from %s of run %s)\n", v.Published, plural(v.Files, "file"), v.Run)
	if v.Watermark != nil {
		fmt.Fprintf(w, "compared     the rows of an incremental run, %s\n", bounds(v.Watermark))
	}
	if v.Extracted != nil {
		fmt.Fprintf(w, "extracted    %s  (by the server, when the run was extracted)\n", *v.Extracted)
	}
	switch {
	case v.Equal && v.Watermark != nil:
		fmt.Fprintln(w, "equal: the published files hold these rows as they are now")
	case v.Equal:
		fmt.Fprintln(w, "equal: the published files hold the table as it is now")
	}
}

// difference says which figure differs, and who has changed as far as that is known.
func (v verification) difference() error {
	if v.Equal {
		return nil
	}
	figure := fmt.Sprintf("both have %s, but the content checksum differs: at least one value is another", plural(int(v.Database.Rows), "row"))
	if v.Database.Rows != v.Published.Rows {
		figure = fmt.Sprintf("the table has %s, the published files %s", plural(int(v.Database.Rows), "row"), plural(int(v.Published.Rows), "row"))
	}
	var who string
	switch {
	case v.Watermark != nil && v.Extracted != nil && *v.Extracted == v.Published && v.Above > 0:
		who = fmt.Sprintf("the files hold what the server had when they were extracted; since then %s got a %s above %s, and those of the run among them cannot be compared any more: verify the next run, which holds them",
			plural(int(v.Above), "row"), v.Watermark.Column, v.Watermark.High)
	case v.Extracted == nil:
		who = "the table may have changed since the run: extract and partition a newer one, and verify that"
	case *v.Extracted == v.Published:
		who = "the files hold what the server had when they were extracted: the table has changed since; extract and partition a newer run"
	case *v.Extracted == v.Database:
		who = "the table is as it was extracted: the published files are wrong; remove their _SUCCESS and partition the run again"
	default:
		who = "neither is what the server had when the run was extracted: the table has changed since, and the published files are wrong; extract and partition a newer run"
	}
	return fmt.Errorf("table %s and its published run %s differ: %s (%s)", v.Table, v.Run, figure, who)
}
