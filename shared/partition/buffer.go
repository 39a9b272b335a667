package partition

import (
	"cmp"
	"errors"
	"slices"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// buffer is the rows that are sorted in memory at a time.
type buffer struct {
	key     []int
	rows    *rowbatch.Batch
	parts   []uint32 // partition of each row; empty if the table has none
	order   []uint32 // positions of rows, sorted
	entries []entry
	out     *rowbatch.Batch
}

func newBuffer(cols []schema.Column, key []int) *buffer {
	return &buffer{key: key, rows: rowbatch.New(cols), out: rowbatch.New(cols)}
}

// entry is a row while it is sorted: most comparisons end with the prefix.
type entry struct {
	prefix uint64
	row    uint32
}

func (b *buffer) reset() {
	b.rows.Reset()
	b.parts = b.parts[:0]
}

func (b *buffer) part(row uint32) uint32 {
	if len(b.parts) == 0 {
		return 0
	}
	return b.parts[row]
}

// sort fills in the order: by partition, in the order of their values, then by key, then as the rows came in.
func (b *buffer) sort(now sorting) {
	n := b.rows.Len()
	b.order = slices.Grow(b.order[:0], n)[:n]
	if len(b.parts) == 0 {
		for i := range b.order {
			b.order[i] = uint32(i)
		}
	} else { // counting sort
		ranks, next := make([]uint32, len(now.parts)), make([]uint32, len(now.parts)+1)
		for rank, part := range now.parts {
			ranks[part] = uint32(rank)
		}
		for _, part := range b.parts {
			next[ranks[part]+1]++
		}
		for i := 1; i < len(next); i++ {
			next[i] += next[i-1]
		}
		for row, part := range b.parts {
			rank := ranks[part]
			b.order[next[rank]] = uint32(row)
			next[rank]++
		}
	}
	if !now.ordered && len(b.key) > 0 {
		for from, to := range b.segments(0, n) {
			b.sortByKey(b.order[from:to])
		}
	}
}

func (b *buffer) sortByKey(order []uint32) {
	entries := slices.Grow(b.entries[:0], len(order))
	first := &b.rows.Columns[b.key[0]]
	for _, row := range order {
		entries = append(entries, entry{first.Prefix(int(row)), row})
	}
	slices.SortFunc(entries, func(x, y entry) int {
		if x.prefix != y.prefix {
			return cmp.Compare(x.prefix, y.prefix)
		}
		return cmp.Or(b.rows.Compare(b.key, int(x.row), b.rows, int(y.row)), cmp.Compare(x.row, y.row))
	})
	for i, e := range entries {
		order[i] = e.row
	}
	b.entries = entries
}

// segments yields the ranges of [from, to) in the order that are of one partition.
func (b *buffer) segments(from, to int) func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		for from < to {
			end := to
			if len(b.parts) > 0 {
				part := b.part(b.order[from])
				for end = from + 1; end < to && b.part(b.order[end]) == part; end++ {
				}
			}
			if !yield(from, end) {
				return
			}
			from = end
		}
	}
}

// gather copies the rows [from, to) of the order to b.out.
func (b *buffer) gather(from, to int) {
	b.out.Reset()
	for i := range b.out.Columns {
		b.out.Columns[i].AppendAt(&b.rows.Columns[i], b.order[from:to])
	}
	b.out.SetLen(to - from)
}

// run writes the rows, sorted, to the local disk, and empties the buffer.
func (b *buffer) run(now sorting) (run, error) {
	b.sort(now)
	w, err := newRunWriter()
	if err != nil {
		return run{}, err
	}
	rows := b.rows.Len()
	perBlock := max(1, min(gatherRows, blockBytes/max(1, b.rows.Size()/rows)))
	for from := 0; from < rows; from += perBlock {
		to := min(from+perBlock, rows)
		var segments []segment
		for i, j := range b.segments(from, to) {
			segments = append(segments, segment{b.part(b.order[i]), j - i})
		}
		b.gather(from, to)
		if err := w.write(segments, b.out); err != nil {
			return run{}, errors.Join(err, w.file.Close())
		}
	}
	b.reset()
	return w.close()
}

// gatherRows are put in order at a time: what the processor's cache holds.
const gatherRows = 4096

// each gives the rows in order.
func (b *buffer) each(now sorting, do emit) error {
	b.sort(now)
	for from, to := range b.segments(0, b.rows.Len()) {
		part := b.part(b.order[from])
		for ; from < to; from += gatherRows {
			end := min(from+gatherRows, to)
			b.gather(from, end)
			if err := do(part, b.out, 0, end-from); err != nil {
				return err
			}
		}
	}
	return nil
}
