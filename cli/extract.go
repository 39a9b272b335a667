package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
)

// extraction is a run of a table as it has landed.
type extraction struct {
	publication
	Dataset   string           `json:"dataset"` // the database's name: there is no dataset file
	Chunks    int              `json:"chunks"`
	Snapshot  lake.Snapshot    `json:"snapshot"`
	Source    checksum.Sum     `json:"source_checksum"`
	ZeroDates map[string]int64 `json:"zero_dates,omitempty"`
}

func newExtract(o *options) *cobra.Command {
	var from mysqlSource
	var r tableRun
	var settings dataset.Table
	var out, watermark string
	cmd := &cobra.Command{
		Use:   "extract --dsn DSN --table T --run TIME --out DIR",
		Short: "Land one table of a MySQL or MariaDB server in a directory, as the extractor does in the lake",
		Long: `Land one table in a directory: Avro files, each chunk reconciled with the server's own checksum in
one snapshot, then the manifest. Keys and markers are the lake's (raw/<table>/dt=…/run=…/); no dataset
file is needed, the database's name stands for its name.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkExtract(settings.Extract, watermark); err != nil {
				return err
			}
			bar := newBar(cmd.ErrOrStderr())
			result, err := land(cmd.Context(), from, r, settings, out, bar)
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
	flags.StringVar(&settings.Extract.Mode, "mode", dataset.Full, "full; incremental is not built yet")
	flags.StringVar(&watermark, "watermark", "", "column of the incremental mode, which is not built yet")
	flags.StringVar(&settings.Extract.ZeroDates, "zero-dates", dataset.ZeroDatesFail, "fail, or null: dates such as 0000-00-00 become NULL and are counted")
	flags.StringVar(&out, "out", "", "directory that takes the place of the lake's bucket")
	required(cmd, "out")
	return cmd
}

func checkExtract(e dataset.Extract, watermark string) error {
	if e.Mode == "incremental" || watermark != "" {
		return errors.New("the incremental mode is not built yet: leave out --mode and --watermark, and every row is extracted")
	}
	if e.Mode != dataset.Full {
		return fmt.Errorf("--mode %q: want %s", e.Mode, dataset.Full)
	}
	if e.ZeroDates != dataset.ZeroDatesFail && e.ZeroDates != dataset.ZeroDatesNull {
		return fmt.Errorf("--zero-dates %q: want %s or %s", e.ZeroDates, dataset.ZeroDatesFail, dataset.ZeroDatesNull)
	}
	return nil
}

// land extracts into the directory out.
func land(ctx context.Context, from mysqlSource, r tableRun, settings dataset.Table, out string, bar *bar) (x extraction, err error) {
	server, database, err := from.open()
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	result, err := (&extract.Extractor{
		Server: server, Store: lake.NewDirectory(out), Limits: extract.DefaultLimits,
		Progress: func(p extract.Progress) {
			bar.step("%s: %d rows, the server estimates %d; %s reconciled", p.Table, p.Rows, p.EstimatedRows, plural(p.Chunks, "chunk"))
		},
	}).Extract(ctx, extract.Request{Dataset: database, Table: r.table, Settings: settings, Run: r.run})
	if err != nil {
		return x, err
	}
	m := result.Manifest
	if m.Dataset != database || settings.Key != nil && !slices.Equal(settings.Key, m.Key) {
		return x, fmt.Errorf("--out %s has run %s of table %s already, from database %s with key %v: name another --out or --run", out, r.run, r.table, m.Dataset, m.Key)
	}
	return extraction{
		publication: publication{m.Table, m.Run, result.Key, result.Published, m.Rows, len(m.Files), bytesOf(m.Files), m.Key, m.Checksum},
		Dataset:     m.Dataset, Chunks: len(m.Chunks), Snapshot: m.Snapshot, Source: m.Source, ZeroDates: m.ZeroDates,
	}, nil
}

func (x extraction) print(w io.Writer, out string) {
	x.publication.print(w, out)
	fmt.Fprintf(w, "reconciled   with MySQL %s in %s; %s snapshot: %s\n", x.Snapshot.Server, plural(x.Chunks, "chunk"), x.Snapshot.Kind, x.Snapshot.Reason)
	for column, n := range x.ZeroDates {
		fmt.Fprintf(w, "zero dates   %s: %d became NULL\n", column, n)
	}
}
