package extract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
)

// landing is one table on its way into the lake. Its state is what the checkpoint holds.
type landing struct {
	*Extractor
	request  Request
	snapshot *mysqltable.Snapshot
	tables   []*mysqltable.Table // the same one, each on a connection of its own

	planning sync.Mutex // held while a worker finds its next section
	mu       sync.Mutex // protects what follows
	state    lake.RawCheckpoint
	etag     string        // of the checkpoint this landing wrote or went on from; "" if there is none
	at       []place       // for each section
	slowest  time.Duration // of a file
	stopped  bool          // a worker had not the time to begin a file
	chunks   int
}

// place is how far a section is read.
type place struct {
	taken bool     // by a worker
	from  []string // of the chunk being read
	rows  int64    // before it
	ended bool     // with the table: there is no section after it
}

// within is a part of the run's rows.
func (l *landing) within(from, to []string) mysqltable.Range {
	r := mysqltable.Range{From: from, To: to}
	if w := l.state.Watermark; w != nil && l.state.Mode == dataset.Incremental {
		r.Watermark = &mysqltable.WatermarkBounds{Column: w.Column, Low: w.Low, High: w.High}
	}
	return r
}

var errNoTimeLeft = errors.New("the invocation's time is over")

// writeSections writes what is missing of the table. It reports false if the time is over before that.
func (l *landing) writeSections(ctx context.Context) (finished bool, err error) {
	if l.TimeLeft != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.TimeLeft(), errNoTimeLeft)
		defer cancel()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for _, table := range l.tables[:l.workers()] {
		workers.Go(func() {
			if err := l.work(ctx, table); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	// The first error: those after it only say that the work was cancelled.
	err = context.Cause(ctx)
	if errors.Is(err, errNoTimeLeft) {
		return false, nil
	}
	return err == nil && !l.stopped, err
}

// workers is one for a small table, and for an increment: finding its middle takes as long as reading it.
func (l *landing) workers() int {
	table := l.tables[0]
	w := l.within(nil, nil).Watermark
	if table.EstimatedRows < l.Limits.SectionRows || len(table.Key) == 0 || w != nil && w.Low != nil {
		return 1
	}
	return len(l.tables)
}

// work reads section after section on one connection.
func (l *landing) work(ctx context.Context, table *mysqltable.Table) error {
	for {
		i, err := l.nextSection(ctx, table)
		if err != nil || i < 0 {
			return err
		}
		for !l.section(i).Done {
			if !l.timeForAFile() {
				return nil
			}
			if err := l.writeFile(ctx, table, i); err != nil {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				return err
			}
		}
	}
}

func (l *landing) section(i int) lake.RawSection {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Sections[i]
}

// timeForAFile asks whether another file like the slowest so far will fit. The first one is always
// begun: without it nothing would be gained by another invocation.
func (l *landing) timeForAFile() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.TimeLeft == nil || l.slowest == 0 || l.TimeLeft() > l.slowest*3/2 {
		return true
	}
	l.stopped = true
	return false
}

// nextSection takes a section that nobody works on, or begins the next one; -1 if there is none.
func (l *landing) nextSection(ctx context.Context, table *mysqltable.Table) (int, error) {
	l.planning.Lock()
	defer l.planning.Unlock()
	last, at, free := l.lastSection()
	if free >= 0 {
		return free, nil
	}
	from := last.Next
	switch {
	case at.ended:
		return -1, nil
	case !last.Done:
		// Another worker is reading it: the rest of it is skipped, which takes a tenth of the time of reading it.
		var err error
		if from, err = table.KeyAt(ctx, l.within(at.from, nil), l.Limits.SectionRows-at.rows); err != nil {
			return -1, err
		}
	}
	if from == nil {
		return -1, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addSection(from), nil
}

// lastSection is the last one with how far it is read, or free, the first that nobody works on.
func (l *landing) lastSection() (last lake.RawSection, at place, free int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.state.Sections {
		if !s.Done && !l.at[i].taken {
			l.at[i].taken = true
			return s, l.at[i], i
		}
	}
	end := len(l.state.Sections) - 1
	return l.state.Sections[end], l.at[end], -1
}

// addSection begins a section for the worker that calls it.
func (l *landing) addSection(from []string) int {
	l.state.Sections = append(l.state.Sections, lake.RawSection{From: from, Next: from})
	l.at = append(l.at, place{taken: true, from: from})
	return len(l.at) - 1
}

// landed notes a file and saves the checkpoint, unless the table is complete: the manifest is next then.
func (l *landing) landed(ctx context.Context, i int, f written, took time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.state.Sections[i]
	for _, c := range f.chunks {
		c.File = len(s.Files)
		s.Chunks = append(s.Chunks, c)
	}
	s.Files = append(s.Files, f.file)
	s.Next, s.Done = f.next, f.ends
	s.ZeroDates, s.InvalidText = plus(s.ZeroDates, f.zeroDates), plus(s.InvalidText, f.invalidText)
	l.slowest = max(l.slowest, took)
	if l.complete() {
		return nil
	}
	return l.save(ctx)
}

func (l *landing) complete() bool {
	last := l.state.Sections[len(l.state.Sections)-1]
	return last.Next == nil && !slices.ContainsFunc(l.state.Sections, func(s lake.RawSection) bool { return !s.Done })
}

// save writes the checkpoint over the one this landing knows, or stops the landing. Of two
// invocations at work on one run, the first to save goes on.
func (l *landing) save(ctx context.Context) (err error) {
	l.etag, err = lake.SaveCheckpoint(ctx, l.Store, l.state, l.etag)
	if errors.Is(err, lake.ErrChanged) {
		err = fmt.Errorf("%w (%w)", ErrOvertaken, err)
	}
	return err
}

// handOver leaves the rest of the table to another invocation.
func (l *landing) handOver(ctx context.Context, resumed int64) error {
	l.state.Continued++
	if rows, _ := l.state.Landed(); rows == resumed {
		if len(l.tables[0].Key) == 0 {
			return fmt.Errorf("table %s has no key to cut it by, so that it is read at once, and that takes longer than an invocation: give it a primary key, or extract it with millrace extract, which has no such limit", l.request.Table)
		}
		if l.state.Narrowed++; l.state.Narrowed > maxNarrowed {
			return fmt.Errorf("MySQL delivers so slowly that not even %d bytes arrived within one invocation: look for locks, load or a network in between", l.Limits.narrowed(maxNarrowed).FileBytes)
		}
	}
	if l.state.Continued > maxContinued {
		return fmt.Errorf("the table is not extracted after %d invocations: use the incremental mode, or extract it with millrace extract, which has no time limit", maxContinued)
	}
	return l.save(ctx)
}

func plus(a, b map[string]int64) map[string]int64 {
	for column, n := range b {
		if a == nil {
			a = map[string]int64{}
		}
		a[column] += n
	}
	return a
}
