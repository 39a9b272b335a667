package partition

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// mostRuns is how many runs are merged at once. Each takes a block of 128 KiB while it is, so 64 take 8 MiB; with the default
// buffer they are 1.5 GiB of rows. Of a larger table the runs are first merged to longer ones.
const mostRuns = 64

// sorter orders rows by partition and key in bounded memory: what does not fit is sorted in runs on the local disk, which are
// merged at the end. The order is that of a stable sort of all rows.
type sorter struct {
	cols   []schema.Column
	key    []int
	limit  int // bytes of rows in memory
	parts  *parts
	buffer buffer
	last   *rowbatch.Batch // the row before
	// ordered: all rows so far came in the order of the key. Then runs follow one another in each partition, and no keys are
	// compared at all: the extractor reads along the key.
	ordered bool
	levels  [][]run // runs[n] are of mostRunsⁿ runs each, oldest first
	out     *rowbatch.Batch
}

func newSorter(cols []schema.Column, key []int, parts *parts, limit int) *sorter {
	return &sorter{
		cols: cols, key: key, limit: limit, parts: parts, ordered: true,
		buffer: buffer{key: key, rows: rowbatch.New(cols)}, last: rowbatch.New(cols), out: rowbatch.New(cols), levels: [][]run{nil},
	}
}

// add takes a batch, which is copied.
func (s *sorter) add(b *rowbatch.Batch) error {
	if s.ordered = s.ordered && inOrder(s.key, s.last, b); s.ordered && b.Len() > 0 {
		s.last.Reset()
		s.last.AppendRange(b, b.Len()-1, b.Len())
	}
	s.buffer.rows.AppendRange(b, 0, b.Len())
	if len(s.parts.by) > 0 {
		s.buffer.parts = s.parts.of(b, s.buffer.parts)
	}
	if s.buffer.rows.Size() < s.limit {
		return nil
	}
	return s.spill()
}

// inOrder tells whether the batch is sorted and begins no earlier than the row before it.
func inOrder(key []int, before, b *rowbatch.Batch) bool {
	if len(key) == 0 || b.Len() == 0 {
		return true
	}
	if before.Len() > 0 && before.Compare(key, 0, b, 0) > 0 {
		return false
	}
	for i := 1; i < b.Len(); i++ {
		if b.Compare(key, i-1, b, i) > 0 {
			return false
		}
	}
	return true
}

func (s *sorter) sortBuffer() {
	s.buffer.keyed = !s.ordered
	s.buffer.sort(s.parts.ranks())
}

// spill writes the buffer as a run.
func (s *sorter) spill() error {
	s.sortBuffer()
	w, err := newRunWriter()
	if err != nil {
		return err
	}
	rows := s.buffer.rows.Len()
	perBlock := max(1, min(4096, blockBytes/max(1, s.buffer.rows.Size()/rows)))
	for from := 0; from < rows; from += perBlock {
		to := min(from+perBlock, rows)
		var segments []segment
		for a, b := range s.buffer.segments(from, to) {
			segments = append(segments, segment{s.buffer.part(s.buffer.order[a]), b - a})
		}
		s.buffer.gather(s.out, from, to)
		if err := w.write(segments, s.out); err != nil {
			return errors.Join(err, w.file.Close())
		}
	}
	s.buffer.reset()
	finished, err := w.close()
	if err != nil {
		return err
	}
	return s.keep(finished, 0)
}

// keep adds a run, and merges a level that is full into one run of the next.
func (s *sorter) keep(r run, level int) error {
	s.levels[level] = append(s.levels[level], r)
	if len(s.levels[level]) < mostRuns {
		return nil
	}
	full := s.levels[level]
	s.levels[level] = nil
	if len(s.levels) == level+1 {
		s.levels = append(s.levels, nil)
	}
	w, err := newRunWriter()
	if err != nil {
		return errors.Join(err, closeRuns(full))
	}
	rows := rowbatch.New(s.cols)
	var segments []segment
	flush := func() error {
		if rows.Len() == 0 {
			return nil
		}
		err := w.write(segments, rows)
		segments = segments[:0]
		rows.Reset()
		return err
	}
	err = s.merge(full, func(part uint32, b *rowbatch.Batch, from, to int) error {
		if n := len(segments); n > 0 && segments[n-1].part == part {
			segments[n-1].rows += to - from
		} else {
			segments = append(segments, segment{part, to - from})
		}
		rows.AppendRange(b, from, to)
		if rows.Size() < blockBytes {
			return nil
		}
		return flush()
	})
	if err = errors.Join(err, closeRuns(full)); err == nil {
		err = flush()
	}
	if err != nil {
		return errors.Join(err, w.file.Close())
	}
	longer, err := w.close()
	if err != nil {
		return err
	}
	return s.keep(longer, level+1)
}

// emit takes rows [from, to) of a batch, which are of one partition; they come in order.
type emit func(part uint32, b *rowbatch.Batch, from, to int) error

// drain gives all rows in their order, and ends the sorter.
func (s *sorter) drain(do emit) error {
	if len(s.levels) == 1 && s.levels[0] == nil {
		return s.drainBuffer(do)
	}
	if s.buffer.rows.Len() > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.buffer = buffer{} // its memory is the merge's now
	var runs []run
	for level := len(s.levels) - 1; level >= 0; level-- { // longer runs are older
		runs = append(runs, s.levels[level]...)
	}
	if err := s.merge(runs, do); err != nil {
		return fmt.Errorf("merging %d runs: %w", len(runs), err)
	}
	return nil
}

func (s *sorter) drainBuffer(do emit) error {
	s.sortBuffer()
	const rows = 4096
	for from, to := range s.buffer.segments(0, s.buffer.rows.Len()) {
		part := s.buffer.part(s.buffer.order[from])
		for ; from < to; from += rows {
			end := min(from+rows, to)
			s.buffer.gather(s.out, from, end)
			if err := do(part, s.out, 0, end-from); err != nil {
				return err
			}
		}
	}
	return nil
}

// close frees the disk.
func (s *sorter) close() error {
	var all []error
	for _, runs := range s.levels {
		all = append(all, closeRuns(runs))
	}
	return errors.Join(all...)
}

func closeRuns(runs []run) error {
	var all []error
	for _, r := range runs {
		all = append(all, r.file.Close())
	}
	return errors.Join(all...)
}
