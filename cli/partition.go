package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/schema"
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
same directory). The finished files are read back and have to hold exactly the rows that were landed;
a newer run of the same day replaces an older one, an older one never does.`,
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
	flags.StringArrayVar(&by, "partition-by", nil, "`column` that makes folders; again for the next level")
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
	if err := checkPartitionBy(by, manifest.Columns); err != nil {
		return c, err
	}
	store := &apart{Directory: lake.NewDirectory(out), raw: landed, table: r.table, size: bytesOf(manifest.Files), bar: bar}
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

var transform = regexp.MustCompile(`^(\w+)\s*\(.*\)$`)

// checkPartitionBy refuses what would make other folders than was meant.
func checkPartitionBy(by []string, cols []schema.Column) error {
	seen := map[string]bool{}
	for _, name := range by {
		if seen[name] {
			return fmt.Errorf("--partition-by %s: named twice", name)
		}
		seen[name] = true
		if m := transform.FindStringSubmatch(name); m != nil && schema.Index(cols, name) < 0 {
			return fmt.Errorf("--partition-by '%s': the transform %s is not built yet: name a column, whose values are the folders", name, m[1])
		}
	}
	return nil
}

// apart is a lake whose raw data lies in one directory and everything else in another, which may
// be the same.
type apart struct {
	*lake.Directory
	raw   *lake.Directory
	table string
	size  int64 // bytes of raw data, for progress
	read  int64
	files int
	bar   *bar
}

var _ lake.Store = (*apart)(nil)

// Get reads raw/ where it lies.
func (a *apart) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	if !strings.HasPrefix(key, "raw/") {
		return a.Directory.Get(ctx, key)
	}
	body, etag, err := a.raw.Get(ctx, key)
	if err != nil || !strings.HasSuffix(key, ".avro") {
		return body, etag, err
	}
	return &counted{body, a}, etag, nil
}

// Put writes a Parquet file.
func (a *apart) Put(ctx context.Context, key string, r io.Reader) error {
	if strings.HasPrefix(key, "raw/") {
		return errors.New("raw data is not written here")
	}
	a.files++
	a.show()
	return a.Directory.Put(ctx, key, r)
}

func (a *apart) show() {
	a.bar.step("%s: read %d of %d MiB, writing file %d", a.table, a.read/mebibyte, a.size/mebibyte, a.files)
}

// counted shows how much of the raw data has been read.
type counted struct {
	io.ReadCloser
	of *apart
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.of.read += int64(n)
	c.of.show()
	return n, err
}
