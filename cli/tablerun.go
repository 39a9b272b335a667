package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
)

// tableRun is what extract, partition and verify are about: one run of one table.
type tableRun struct {
	table string
	run   lake.Run
}

func (r *tableRun) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.table, "table", "", "name of the table")
	cmd.Flags().Func("run", "scheduled `time` that names the run, such as 20261122T020000Z", func(text string) (err error) {
		r.run, err = lake.ParseRun(text)
		return err
	})
	required(cmd, "table", "run")
}

// publication is what a command has put below its --out, or found there.
type publication struct {
	Table     string       `json:"table"`
	Run       lake.Run     `json:"run"`
	Marker    string       `json:"marker"`    // its key: the path below --out
	Published bool         `json:"published"` // false: the very same was there already
	Rows      int64        `json:"rows"`
	Files     int          `json:"files"`
	Bytes     int64        `json:"bytes"`
	Key       []string     `json:"key,omitempty"`
	Checksum  checksum.Sum `json:"checksum"`
}

func bytesOf(files []lake.File) (size int64) {
	for _, f := range files {
		size += f.Size
	}
	return size
}

func (p publication) print(w io.Writer, out string) {
	fmt.Fprintf(w, "%s, run %s: %s in %s, %d bytes\n", p.Table, p.Run, plural(int(p.Rows), "row"), plural(p.Files, "file"), p.Bytes)
	if p.Key != nil {
		fmt.Fprintf(w, "key          %s\n", strings.Join(p.Key, ", "))
	} else {
		fmt.Fprintln(w, "key          none: the rows keep the order they came in, in one chunk; --key of millrace extract names one")
	}
	fmt.Fprintf(w, "checksum     %s\n", p.Checksum)
	state := ""
	if !p.Published {
		state = " (was there already: nothing was written, nor looked at; millrace inspect does)"
	}
	fmt.Fprintf(w, "marker       %s%s\n", filepath.Join(out, filepath.FromSlash(p.Marker)), state)
}

// runsHint turns "no such object" about a run's marker into what is there instead.
func (r tableRun) runsHint(ctx context.Context, err error, in *lake.Directory, dir, remedy string) error {
	if !errors.Is(err, lake.ErrNotFound) {
		return err
	}
	keys, listErr := in.List(ctx, "raw/"+lake.Escape(r.table)+"/")
	if listErr != nil {
		return listErr
	}
	var runs []string
	for _, key := range keys {
		if run, ok := lake.RunOf(key); ok {
			runs = append(runs, string(run))
		}
	}
	there := "no run of it at all"
	if runs != nil {
		there = "extracted runs: " + strings.Join(runs, ", ")
	}
	return fmt.Errorf("--in %s has no run %s of table %s (%s): %s", dir, r.run, r.table, there, remedy)
}

// mysqlSource is a database by its connection string. The string may come from the environment,
// since other users of the machine see a command's arguments.
type mysqlSource struct{ dsn string }

const dsnVariable = "MYSQL_DSN"

func (m *mysqlSource) flags(cmd *cobra.Command) {
	// Not the flag's default: --help prints those, and this one holds a password.
	cmd.Flags().StringVar(&m.dsn, "dsn", "", "connection string user:password@tcp(host:port)/database; default from "+dsnVariable+", where no other user sees it")
}

// open prepares connections, and tells the database's name.
func (m *mysqlSource) open() (server *mysqltable.Server, database string, err error) {
	dsn := m.dsn
	if dsn == "" {
		dsn = os.Getenv(dsnVariable)
	}
	if dsn == "" {
		return nil, "", fmt.Errorf("no database: name one with --dsn 'user:password@tcp(host:port)/database', or in the environment as %s", dsnVariable)
	}
	cfg, err := mysqltable.ParseDSN(dsn)
	if err != nil {
		return nil, "", err
	}
	server, err = mysqltable.Open(cfg)
	return server, cfg.DBName, err
}
