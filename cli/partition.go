package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/partition"
)

// curation is a run of a table as Parquet.
type curation struct {
	publication
	PartitionBy []string `json:"partition_by,omitempty"`
}

func newPartition(o *options) *cobra.Command {
	var r tableRun
	var in, out string
	var by []string
	cmd := &cobra.Command{
		Use:   "partition --in DIR --table T --run TIME --out DIR",
		Short: "Turn a landed run of a table into sorted, partitioned Parquet, as the partitioner does in the lake",
		Long: `Turn a landed run of a table (raw/ below --in) into Parquet (curated/ below --out, which may be the
same directory): sorted by the table's key, in files of about 128 MiB, in bounded memory whatever the
table; what does not fit is sorted below $TMPDIR. The finished files are read back and have to hold
exactly the rows that were landed. Repeated, it repairs files that are missing or damaged; a newer run of
the same day replaces an older one, an older one never does.

The run may have been written by hand: Avro or Parquet files from elsewhere below raw/ and a manifest
that lists them (docs/operations.md, Land a table that is not MySQL's).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bar := newBar(cmd.ErrOrStderr())
			result, err := curate(cmd.Context(), r, in, out, by, bar)
			bar.done()
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), result, func(w io.Writer) {
				result.print(w, out)
				if by != nil {
					fmt.Fprintf(w, "partitioned  by %s\n", strings.Join(by, ", "))
				}
			})
		},
	}
	r.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&in, "in", "", "directory that holds raw/")
	flags.StringVar(&out, "out", "", "directory for curated/; may be that of --in")
	// Not a list with commas: a transform may have one.
	flags.StringArrayVar(&by, "partition-by", nil, "`column` or transform that makes folders: city, year(ts), month(ts), day(ts), bucket(16, user); again for the next level")
	required(cmd, "in", "out")
	return cmd
}

// curate partitions what has landed in the directory in.
func curate(ctx context.Context, r tableRun, in, out string, by []string, bar *bar) (c curation, err error) {
	landed := lake.NewDirectory(in)
	key := lake.RawMarker(r.table, r.run)
	manifest, _, err := lake.ReadMarker[lake.RawManifest](ctx, landed, key, lake.RawFormat)
	if err != nil {
		return c, r.runsHint(ctx, err, landed, in, "millrace extract --out "+in+" lands it")
	}
	store := &apart{Directory: lake.NewDirectory(out), raw: landed, table: r.table, size: bytesOf(manifest.Files), bar: bar}
	debug.SetGCPercent(partition.GCPercent)
	result, err := partition.Write(ctx, store, key, partition.Options{PartitionBy: by, Limits: partition.DefaultLimits()})
	if err != nil {
		return c, err
	}
	m := result.Marker
	return curation{
		publication{m.Table, m.Run, lake.CuratedMarker(m.Table, m.Run), result.Published, m.Rows, len(m.Files), bytesOf(m.Files), m.Key, m.Checksum},
		m.PartitionBy,
	}, nil
}

// apart is a lake whose raw data lies in one directory and everything else in another, which may
// be the same.
type apart struct {
	*lake.Directory
	raw   *lake.Directory
	table string
	size  int64 // bytes of raw data, for progress
	read  atomic.Int64
	files atomic.Int64
	bar   *bar
}

var _ lake.Store = (*apart)(nil)

// Get reads raw/ where it lies.
func (a *apart) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	if !strings.HasPrefix(key, "raw/") {
		return a.Directory.Get(ctx, key)
	}
	body, etag, err := a.raw.Get(ctx, key)
	if _, marker := lake.Layer(key); err != nil || marker == nil {
		return body, etag, err
	}
	return &counted{body, a}, etag, nil
}

// Put writes a Parquet file.
func (a *apart) Put(ctx context.Context, key string, r io.Reader) error {
	if strings.HasPrefix(key, "raw/") {
		return errors.New("raw data is not written here")
	}
	a.files.Add(1)
	a.show()
	return a.Directory.Put(ctx, key, r)
}

func (a *apart) show() {
	if a.size == 0 { // a manifest written by hand need not say
		a.bar.step("%s: %d MiB read, %d files written", a.table, a.read.Load()/mebibyte, a.files.Load())
		return
	}
	a.bar.step("%s: %d of %d MiB read, %d files written", a.table, a.read.Load()/mebibyte, a.size/mebibyte, a.files.Load())
}

// counted shows how much of the raw data has been read.
type counted struct {
	io.ReadCloser
	of *apart
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.of.read.Add(int64(n))
	c.of.show()
	return n, err
}
