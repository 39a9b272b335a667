package trainset

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// join looks the rows of the base up in tables held in memory.
type join struct {
	plan    *plan
	lookups []lookup
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

// joinInProcess publishes the training set's rows, in the order of the base.
func joinInProcess(ctx context.Context, s lake.Store, p *plan, limits Limits, marker *lake.TrainingSuccess) error {
	j := &join{plan: p, lookups: make([]lookup, len(p.lookups)), matched: make([]schema.Row, len(p.lookups)), output: make(schema.Row, len(p.columns))}
	used := 0
	for i := range p.lookups {
		j.lookups[i] = lookup{plan: &p.lookups[i], rows: map[string]schema.Row{}}
		if err := j.lookups[i].load(ctx, s, limits, &used); err != nil {
			return err
		}
	}
	if err := publishRows(ctx, s, j.rows(ctx, s, limits.Memory-used), limits.File, marker); err != nil {
		return err
	}
	marker.Orphans = map[string]int64{}
	for _, l := range j.lookups {
		if l.orphans > 0 {
			marker.Orphans[l.plan.table.Name] = l.orphans
		}
	}
	return nil
}

// load reads the table, and adds to used what it takes in memory.
func (l *lookup) load(ctx context.Context, s lake.Store, limits Limits, used *int) error {
	table, before := l.plan.table, *used
	var key []byte
	var read int64
	for row, err := range table.Each(ctx, s, limits.Memory-*used) {
		if err != nil {
			return err
		}
		read++
		var ok bool
		if key, ok = joinKey(key[:0], table.Columns, row, l.plan.keyAt); !ok {
			continue // as in SQL, NULL equals nothing
		}
		if _, twice := l.rows[string(key)]; twice {
			first := l.plan.keyAt[0]
			return twiceError(table.Name, fmt.Sprintf("%s %s is", table.Columns[first].Name, schema.Text(table.Columns[first], row[first])))
		}
		kept := make(schema.Row, len(l.plan.keep))
		*used += rowBytes + len(key)
		for i, at := range l.plan.keep {
			kept[i] = row[at]
			*used += valueBytes + len(row[at].Bytes)
		}
		if *used > limits.Memory {
			needs := int64(*used-before) * table.Rows() / read // as far as the rows read so far tell
			return limits.tooLarge(table, needs, int64(before)+needs)
		}
		l.rows[string(key)] = kept.Clone()
	}
	return nil
}

// twiceError refuses a lookup table that would multiply rows of the base.
func twiceError(table, what string) error {
	return fmt.Errorf("table %s: %s there twice: join it on columns that are unique, or rows of the base would be learned more than once", table, what)
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

// rows are those of the training set, each valid until the next. The keys of the base's changed rows take at most memory bytes.
func (j *join) rows(ctx context.Context, s lake.Store, memory int) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		for row, err := range j.plan.base.Each(ctx, s, memory) {
			if err != nil {
				yield(nil, err)
				return
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
			if !yield(j.output, nil) {
				return
			}
		}
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
