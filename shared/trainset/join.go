package trainset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// join produces the training set's rows, in the order of the base.
type join struct {
	plan    *plan
	lookups []lookup
	base    rows
	key     []byte
	matched []schema.Row // per lookup, of the current base row
	output  schema.Row
}

// lookup is a table by its join columns.
type lookup struct {
	plan    *lookupPlan
	rows    map[string]schema.Row // the kept columns
	orphans int64                 // base rows without a match
}

// newJoin loads the lookup tables.
func newJoin(ctx context.Context, s lake.Store, p *plan, limits Limits) (*join, error) {
	j := &join{
		plan: p, base: rows{store: s, table: p.base},
		lookups: make([]lookup, len(p.lookups)), matched: make([]schema.Row, len(p.lookups)), output: make(schema.Row, len(p.columns)),
	}
	left := limits.Lookup
	for i := range p.lookups {
		l := &j.lookups[i]
		l.plan, l.rows = &p.lookups[i], map[string]schema.Row{}
		if err := l.load(ctx, s, &left); err != nil {
			return nil, err
		}
		if left < 0 {
			return nil, fmt.Errorf("table %s: the joined tables take more than %d MiB of memory: raise the function's MemorySize and Limits.Lookup, or take fewer columns of it into training.columns",
				l.plan.table.Table, limits.Lookup>>20)
		}
	}
	return j, nil
}

// valueBytes is what a schema.Value takes beside its bytes, rowBytes what a map entry does.
const (
	valueBytes = 72
	rowBytes   = 64
)

func (l *lookup) load(ctx context.Context, s lake.Store, left *int) error {
	table := rows{store: s, table: l.plan.table}
	var key []byte
	for {
		row, err := table.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var ok bool
		if key, ok = joinKey(key[:0], l.plan.table.Columns, row, l.plan.keyAt); !ok {
			continue // as in SQL, NULL equals nothing
		}
		if _, twice := l.rows[string(key)]; twice {
			first := l.plan.keyAt[0]
			column := l.plan.table.Columns[first]
			return fmt.Errorf("table %s: %s %s is there twice: join it on columns that are unique, or rows of the base would be learned more than once",
				l.plan.table.Table, column.Name, schema.Text(column, row[first]))
		}
		kept := make(schema.Row, len(l.plan.keep))
		*left -= rowBytes + len(key)
		for i, at := range l.plan.keep {
			kept[i] = row[at]
			*left -= valueBytes + len(row[at].Bytes)
		}
		if *left < 0 {
			return nil
		}
		l.rows[string(key)] = kept.Clone()
	}
}

// joinKey appends the canonical text of the join columns, each with its length, so that no two
// keys look alike; false if one is NULL. Text compares byte by byte, whatever the collation.
func joinKey(dst []byte, cols []schema.Column, row schema.Row, at []int) ([]byte, bool) {
	for _, i := range at {
		if row[i].Null {
			return dst, false
		}
		start := len(dst)
		dst = schema.AppendText(dst, cols[i], row[i])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(dst)-start))
	}
	return dst, true
}

// Next returns the next row of the training set, valid until the next call, or io.EOF.
func (j *join) Next(ctx context.Context) (schema.Row, error) {
	for {
		row, err := j.base.Next(ctx)
		if err != nil {
			return nil, err
		}
		if !j.match(row) {
			continue
		}
		for i, from := range j.plan.output {
			if from.lookup < 0 {
				j.output[i] = row[from.at]
			} else {
				j.output[i] = j.matched[from.lookup][from.at]
			}
		}
		return j.output, nil
	}
}

// match looks the base row up everywhere, and counts it for each table that lacks it.
func (j *join) match(row schema.Row) bool {
	all := true
	for i := range j.lookups {
		l := &j.lookups[i]
		key, ok := joinKey(j.key[:0], j.plan.base.Columns, row, l.plan.baseAt)
		if j.key = key; ok {
			j.matched[i], ok = l.rows[string(key)]
		}
		if !ok {
			l.orphans++
			all = false
		}
	}
	return all
}

// orphans are the counts above zero, by table.
func (j *join) orphans() map[string]int64 {
	counts := map[string]int64{}
	for _, l := range j.lookups {
		if l.orphans > 0 {
			counts[l.plan.table.Table] = l.orphans
		}
	}
	return counts
}

// write puts the rows into files of at most limits.File rows each.
func (j *join) write(ctx context.Context, s lake.Store, name string, run lake.Run, limits Limits) (files []lake.File, sum checksum.Sum, err error) {
	row, err := j.Next(ctx)
	for !errors.Is(err, io.EOF) {
		file, writeErr := parquetwriter.WriteVerified(ctx, s, lake.TrainingPart(name, run, len(files)), j.plan.columns,
			func(yield func(schema.Row, error) bool) {
				for n := int64(0); n < limits.File && !errors.Is(err, io.EOF); n++ {
					if !yield(row, err) {
						return
					}
					row, err = j.Next(ctx)
				}
			})
		if writeErr != nil {
			return nil, sum, writeErr
		}
		files, sum = append(files, file), sum.Plus(file.Checksum)
	}
	return files, sum, nil
}
