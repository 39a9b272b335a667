package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// Limits bound memory, in bytes of buffered rows.
type Limits struct {
	File   int // rows of one file
	Buffer int // rows of all open partitions together
}

// DefaultLimits fit a function of 1,769 MB with room to spare: 128 MiB of rows become roughly a
// quarter of that in Parquet, the size of file that Athena reads best, which is read back whole.
func DefaultLimits() Limits { return Limits{File: 128 << 20, Buffer: 384 << 20} }

// splitter distributes rows over partitions and writes each when it is full.
type splitter struct {
	store       lake.Store
	manifest    *lake.RawManifest
	limits      Limits
	key         []int
	partitionBy []int
	open        map[string]*part
	bytes       int
	numbers     map[string]int // next file of each folder
	files       []lake.File
	sum         checksum.Sum
}

// part is a partition with rows in memory.
type part struct {
	id     string // orders partitions by value
	folder string
	values []lake.PartitionValue
	rows   rows
}

// split reads the manifest's files and writes the curated ones. The result depends on the
// rows, their order and the limits alone, so a second run writes the same bytes.
func split(ctx context.Context, s lake.Store, manifest *lake.RawManifest, o Options) ([]lake.File, checksum.Sum, error) {
	key, _ := schema.Positions(manifest.Columns, manifest.Key) // checked before
	by, _ := schema.Positions(manifest.Columns, o.PartitionBy)
	w := &splitter{
		store: s, manifest: manifest, limits: o.Limits, key: key, partitionBy: by,
		open: map[string]*part{}, numbers: map[string]int{},
	}
	var read checksum.Sum
	for _, f := range manifest.Files {
		sum, err := w.readFile(ctx, f)
		if err == nil && sum != f.Checksum {
			err = fmt.Errorf("the manifest says %s, read %s: extract the run again", f.Checksum, sum)
		}
		if err != nil {
			return nil, checksum.Sum{}, fmt.Errorf("file %s: %w", f.Key, err)
		}
		read = read.Plus(sum)
	}
	for _, id := range slices.Sorted(maps.Keys(w.open)) {
		if err := w.write(ctx, w.open[id]); err != nil {
			return nil, checksum.Sum{}, err
		}
	}
	if w.sum != manifest.Checksum {
		return nil, checksum.Sum{}, fmt.Errorf("the manifest says %s, its files hold %s, the Parquet files %s: extract the run again",
			manifest.Checksum, read, w.sum)
	}
	slices.SortFunc(w.files, func(a, b lake.File) int { return cmp.Compare(a.Key, b.Key) })
	return w.files, w.sum, nil
}

// readFile adds one landed file's rows.
func (w *splitter) readFile(ctx context.Context, f lake.File) (sum checksum.Sum, err error) {
	body, err := lake.Open(ctx, w.store, f)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	file, err := avrofile.NewReader(body)
	if err != nil {
		return sum, err
	}
	if !slices.Equal(file.Columns(), w.manifest.Columns) {
		return sum, fmt.Errorf("its columns %v are not the manifest's %v", file.Columns(), w.manifest.Columns)
	}
	all := checksum.New(file.Columns())
	var row schema.Row
	for {
		if row, err = file.Next(row); errors.Is(err, io.EOF) {
			return all.Sum(), nil
		} else if err != nil {
			return sum, err
		}
		all.Add(row)
		if err := w.add(ctx, row); err != nil {
			return sum, err
		}
	}
}

func (w *splitter) add(ctx context.Context, row schema.Row) error {
	var id []byte
	for _, i := range w.partitionBy {
		id = schema.AppendOrdered(id, w.manifest.Columns[i], row[i])
	}
	p, ok := w.open[string(id)]
	if !ok {
		p = w.newPart(string(id), row)
		w.open[p.id] = p
	}
	before := p.rows.bytes
	p.rows.add(row)
	w.bytes += p.rows.bytes - before
	if p.rows.bytes >= w.limits.File {
		return w.write(ctx, p)
	}
	if w.bytes < w.limits.Buffer {
		return nil
	}
	// The largest frees most and makes the fewest small files.
	return w.write(ctx, slices.MaxFunc(slices.Collect(maps.Values(w.open)), func(a, b *part) int {
		return cmp.Or(cmp.Compare(a.rows.bytes, b.rows.bytes), cmp.Compare(a.id, b.id))
	}))
}

func (w *splitter) newPart(id string, row schema.Row) *part {
	p := &part{id: id, rows: rows{cols: w.manifest.Columns, key: w.key}}
	for _, i := range w.partitionBy {
		c, v := w.manifest.Columns[i], row[i]
		value := lake.PartitionValue{Column: c.Name}
		text := ""
		if !v.Null {
			text = string(schema.AppendText(nil, c, v))
			value.Value = &text
		}
		p.folder += lake.Partition(c.Name, text, v.Null)
		p.values = append(p.values, value)
	}
	return p
}

// write finishes a partition's next file. NULL and the empty string share Hive's folder but
// not a file: each file's rows have exactly the partition values that the marker says.
func (w *splitter) write(ctx context.Context, p *part) error {
	key := lake.CuratedPart(w.manifest.Table, w.manifest.Run, p.folder, w.numbers[p.folder])
	file, err := parquetwriter.WriteVerified(ctx, w.store, key, w.manifest.Columns, p.rows.sorted())
	if err != nil {
		return err
	}
	file.Partition = p.values
	w.numbers[p.folder]++
	w.files = append(w.files, file)
	w.sum = w.sum.Plus(file.Checksum)
	w.bytes -= p.rows.bytes
	delete(w.open, p.id)
	return nil
}
