package partition

import (
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// mostRuns is how many runs are merged at once. Each takes a block of 128 KiB while it is, so 128 take 16 MiB; with the
// default buffer they are 1.5 GiB of rows. Of a larger table the runs are first merged to longer ones.
const mostRuns = 128

// sorter orders rows by partition and key in bounded memory: what does not fit is sorted in runs on the local disk, which are
// merged at the end. The order is that of a stable sort of all rows.
type sorter struct {
	cols  []schema.Column
	key   []int
	limit int // bytes of rows in memory
	parts *parts
	last  *rowbatch.Batch // the row before
	// ordered: all rows so far came in the order of the key. Then runs follow one another in each partition, and no keys are
	// compared at all: the extractor reads along the key.
	ordered bool
	filling *buffer
	// While one buffer is sorted and written, the other is filled.
	idle     *buffer
	spilling errgroup.Group
	levels   [][]run // runs[n] are of mostRunsⁿ runs each, oldest first
}

func newSorter(cols []schema.Column, key []int, parts *parts, limit int) *sorter {
	return &sorter{
		cols: cols, key: key, limit: limit, parts: parts, ordered: true, last: rowbatch.New(cols),
		filling: newBuffer(cols, key), idle: newBuffer(cols, key), levels: [][]run{nil},
	}
}

// add takes a batch, which is copied.
func (s *sorter) add(b *rowbatch.Batch) error {
	if s.ordered = s.ordered && inOrder(s.key, s.last, b); s.ordered && b.Len() > 0 {
		s.last.Reset()
		s.last.AppendRange(b, b.Len()-1, b.Len())
	}
	s.filling.rows.AppendRange(b, 0, b.Len())
	if len(s.parts.by) > 0 {
		s.filling.parts = s.parts.of(b, s.filling.parts)
	}
	if s.filling.rows.Size() < s.limit/2 {
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

// sorting is what sorting and merging have to know while more rows come in.
type sorting struct {
	ordered bool     // up to now
	parts   []uint32 // in the order of their values
}

func (s *sorter) now() sorting { return sorting{s.ordered, s.parts.sorted()} }

// spill makes a run of the full buffer, beside the filling of the other one.
func (s *sorter) spill() error {
	if err := s.spilling.Wait(); err != nil {
		return err
	}
	full := s.filling
	s.filling, s.idle = s.idle, full
	s.spilling = errgroup.Group{}
	now := s.now()
	s.spilling.Go(func() error {
		r, err := full.run(now)
		if err != nil {
			return err
		}
		return s.keep(now, r, 0)
	})
	return nil
}

// keep adds a run, and merges a level that is full into one run of the next.
func (s *sorter) keep(now sorting, r run, level int) error {
	s.levels[level] = append(s.levels[level], r)
	if len(s.levels[level]) < mostRuns {
		return nil
	}
	full := s.levels[level]
	s.levels[level] = nil
	if len(s.levels) == level+1 {
		s.levels = append(s.levels, nil)
	}
	longer, err := s.mergeRuns(now, full)
	if err = errors.Join(err, closeRuns(full)); err != nil {
		return err
	}
	return s.keep(now, longer, level+1)
}

// mergeRuns makes one run of many.
func (s *sorter) mergeRuns(now sorting, runs []run) (run, error) {
	w, err := newRunWriter()
	if err != nil {
		return run{}, err
	}
	rows := rowbatch.New(s.cols)
	var segments []segment
	flush := func() error {
		err := w.write(segments, rows)
		segments = segments[:0]
		rows.Reset()
		return err
	}
	err = s.merge(now, runs, func(part uint32, b *rowbatch.Batch, from, to int) error {
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
	if err == nil && rows.Len() > 0 {
		err = flush()
	}
	if err != nil {
		return run{}, errors.Join(err, w.file.Close())
	}
	return w.close()
}

// emit takes rows [from, to) of a batch, which are of one partition; they come in order.
type emit func(part uint32, b *rowbatch.Batch, from, to int) error

// drain gives all rows in their order, and ends the sorter.
func (s *sorter) drain(do emit) error {
	if err := s.spilling.Wait(); err != nil {
		return err
	}
	if len(s.levels) == 1 && s.levels[0] == nil { // everything is in memory
		return s.filling.each(s.now(), do)
	}
	if s.filling.rows.Len() > 0 {
		if err := errors.Join(s.spill(), s.spilling.Wait()); err != nil {
			return err
		}
	}
	s.filling, s.idle = nil, nil // their memory is the merge's now
	var runs []run
	for level := len(s.levels) - 1; level >= 0; level-- { // longer runs are older
		runs = append(runs, s.levels[level]...)
	}
	if err := s.merge(s.now(), runs, do); err != nil {
		return fmt.Errorf("merging %d runs: %w", len(runs), err)
	}
	return nil
}

// close frees the disk.
func (s *sorter) close() error {
	all := []error{s.spilling.Wait()}
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
