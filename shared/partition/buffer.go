package partition

import (
	"cmp"
	"slices"

	"github.com/millrace/millrace/shared/rowbatch"
)

// buffer is the rows that are sorted in memory at a time.
type buffer struct {
	key     []int
	rows    *rowbatch.Batch
	parts   []uint32 // partition of each row; empty if the table has none
	keyed   bool     // the rows of each partition have to be sorted by the key
	order   []uint32 // positions of rows, sorted
	entries []entry
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

// sort fills in the order: by partition, in the ranks' order, then by key, then as the rows came in.
func (b *buffer) sort(ranks []uint32) {
	n := b.rows.Len()
	b.order = slices.Grow(b.order[:0], n)[:n]
	if len(b.parts) == 0 {
		for i := range b.order {
			b.order[i] = uint32(i)
		}
	} else { // counting sort
		next := make([]uint32, len(ranks)+1)
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
	if b.keyed && len(b.key) > 0 {
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

// gather copies the rows [from, to) of the order to out.
func (b *buffer) gather(out *rowbatch.Batch, from, to int) {
	out.Reset()
	for i := range out.Columns {
		out.Columns[i].AppendAt(&b.rows.Columns[i], b.order[from:to])
	}
	out.SetLen(to - from)
}
