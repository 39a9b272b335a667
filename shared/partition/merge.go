package partition

import (
	"errors"
	"io"

	"github.com/millrace/millrace/shared/rowbatch"
)

// merge gives the rows of sorted runs in order. Of equal rows those of the earlier run come first.
func (s *sorter) merge(now sorting, runs []run, do emit) error {
	readers := make([]*runReader, len(runs))
	var memory blockMemory
	for i, r := range runs {
		readers[i] = &runReader{run: r, memory: &memory, rows: rowbatch.New(s.cols)}
		if err := readers[i].next(); err != nil {
			return err // a run has at least one block
		}
	}
	for _, part := range now.parts {
		var among []*runReader // those that have rows of this partition
		for _, r := range readers {
			if r.has(part) {
				among = append(among, r)
			}
		}
		var err error
		if now.ordered {
			err = concatenate(part, among, do)
		} else {
			err = s.mergePart(part, among, do)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// has tells whether the next row is of the partition.
func (r *runReader) has(part uint32) bool { return len(r.segments) > 0 && r.segments[0].part == part }

// pass moves over rows of the first segment, into the next block if they were its last.
func (r *runReader) pass(rows int) error {
	r.at += rows
	if r.segments[0].rows -= rows; r.segments[0].rows > 0 {
		return nil
	}
	r.segments = r.segments[1:]
	if len(r.segments) > 0 {
		return nil
	}
	if err := r.next(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// concatenate gives one run's rows after the other's: each begins no earlier than the one before ends.
func concatenate(part uint32, readers []*runReader, do emit) error {
	for _, r := range readers {
		for r.has(part) {
			rows := r.segments[0].rows
			if err := do(part, r.rows, r.at, r.at+rows); err != nil {
				return err
			}
			if err := r.pass(rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergePart takes the least row of all runs again and again: the runs are a heap by their next row.
func (s *sorter) mergePart(part uint32, readers []*runReader, do emit) error {
	h := mergeHeap{key: s.key}
	for i, r := range readers {
		h.runs = append(h.runs, merging{r, i, s.prefix(r)})
	}
	for i := len(h.runs)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	for len(h.runs) > 0 {
		top := &h.runs[0]
		// As long as the next run's least row is not before them, rows are taken together.
		taken, all := 1, top.segments[0].rows
		for taken < all && !h.after(top.at+taken) {
			taken++
		}
		if err := do(part, top.rows, top.at, top.at+taken); err != nil {
			return err
		}
		if err := top.pass(taken); err != nil {
			return err
		}
		if !top.has(part) {
			h.runs[0] = h.runs[len(h.runs)-1]
			h.runs = h.runs[:len(h.runs)-1]
		} else {
			top.prefix = s.prefix(top.runReader)
		}
		h.down(0)
	}
	return nil
}

func (s *sorter) prefix(r *runReader) uint64 { return r.rows.Columns[s.key[0]].Prefix(r.at) }

// merging is a run with its place among the others and the prefix of its next row.
type merging struct {
	*runReader
	place  int
	prefix uint64
}

type mergeHeap struct {
	key  []int
	runs []merging
}

func (h *mergeHeap) less(a, b *merging) bool { return h.before(a, b, b.at, b.prefix) }

// before tells whether the next row of a comes before this row of b.
func (h *mergeHeap) before(a, b *merging, row int, prefix uint64) bool {
	if a.prefix != prefix {
		return a.prefix < prefix
	}
	order := a.rows.Compare(h.key, a.at, b.rows, row)
	return order < 0 || order == 0 && a.place < b.place
}

// after tells whether a row of the top run comes after the least of the others, one of its two children.
func (h *mergeHeap) after(row int) bool {
	top := &h.runs[0]
	prefix := top.rows.Columns[h.key[0]].Prefix(row)
	for i := 1; i < min(3, len(h.runs)); i++ {
		if h.before(&h.runs[i], top, row, prefix) {
			return true
		}
	}
	return false
}

func (h *mergeHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.runs); child++ {
			if h.less(&h.runs[child], &h.runs[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.runs[i], h.runs[least] = h.runs[least], h.runs[i]
		i = least
	}
}
