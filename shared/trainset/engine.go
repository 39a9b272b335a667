package trainset

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/schema"
)

// Engine is what joins the tables.
type Engine string

// Engines, as the stack's parameter TrainsetEngine names them.
const (
	InProcess Engine = "lambda" // the base streams through, the tables it looks up are in memory
	InAthena  Engine = "athena" // UNLOAD of the same join, for tables of any size
	Auto      Engine = "auto"   // in process if it fits
)

// ParseEngine reads an engine's name.
func ParseEngine(name string) (Engine, error) {
	switch e := Engine(name); e {
	case InProcess, InAthena, Auto:
		return e, nil
	}
	return "", fmt.Errorf("engine %q: want %s, %s or %s", name, InProcess, InAthena, Auto)
}

// Limits bound what one run holds in memory, and how long it may take.
type Limits struct {
	// Memory is for the tables joined to the base, and for the keys of changed rows, in bytes.
	Memory int
	// File is how many rows one file of the training set gets.
	File int64
	// Time is what joining in process may take; 0 is without bound.
	Time time.Duration
}

const (
	// workingMB is what a run needs beside Limits.Memory: a file of the base (two million rows of the default training set are about
	// 30 MiB), a row group being written, the file read back, and Go's collector, which lets garbage grow to the size of what lives.
	workingMB  = 1000
	rowsOfFile = 2_000_000
	// usableTime is the part of the function's time for joining: the rest is for starting, listing, publishing, and for a slow day.
	usableTime = 0.7
)

// LimitsOf are those of a function with so much memory and time.
func LimitsOf(memoryMB int, timeout time.Duration) Limits {
	return Limits{Memory: max(memoryMB-workingMB, memoryMB/4) << 20, File: rowsOfFile, Time: time.Duration(float64(timeout) * usableTime)}
}

// ErrMemory says that the joined tables do not fit.
var ErrMemory = errors.New("the joined tables do not fit into memory")

func outOfMemory(err error) bool { return errors.Is(err, ErrMemory) || errors.Is(err, asof.ErrMemory) }

// tooLarge names the table and what it takes to join it in process.
func (l Limits) tooLarge(table *asof.Table, needs, together int64) error {
	return fmt.Errorf("table %s: %w: its %d rows need about %d MiB, all of them together %d MiB, allowed are %d MiB. "+
		"Raise the function's memory by %d MB (stack parameter TrainsetMemory), take fewer columns of it into training.columns, or join in Athena (stack parameter TrainsetEngine)",
		table.Name, ErrMemory, table.Rows(), needs>>20+1, together>>20+1, l.Memory>>20, (together-int64(l.Memory))>>20+1)
}

const (
	// valueBytes is what a schema.Value takes beside its bytes, rowBytes what a map entry and its key do.
	valueBytes = 72
	rowBytes   = 96
	// unpacked is how much larger text is in memory than in Parquet with dictionaries and zstd: names and addresses took three to
	// four times, categories more. An estimate that is too low is found out while loading.
	unpacked = 5
	// valuesPerSecond is how many values one vCPU reads, joins, writes and reads back, measured: see docs/decisions.md.
	valuesPerSecond = 3.5e6
)

// estimate is about how many bytes a lookup table takes in memory.
func (l *lookupPlan) estimate() int64 {
	bytes := l.table.Rows() * int64(rowBytes+valueBytes*len(l.keep))
	var texts, kept int64
	for i, c := range l.table.Columns {
		if c.Kind != schema.String && c.Kind != schema.Bytes {
			continue
		}
		texts++
		for _, at := range l.keep {
			if at == i {
				kept++
			}
		}
	}
	if kept > 0 {
		for _, day := range l.table.Days {
			for _, f := range day.Files {
				bytes += f.Size * unpacked * kept / texts
			}
		}
	}
	return bytes
}

// memory is about what joining in process holds, and the table that needs most of it.
func (p *plan) memory() (needs int64, largest *asof.Table, ofLargest int64) {
	needs, largest = p.base.ChangedBytes(), p.base
	ofLargest = needs
	for i := range p.lookups {
		l := &p.lookups[i]
		bytes := l.estimate() + l.table.ChangedBytes()
		if needs += bytes; bytes > ofLargest {
			largest, ofLargest = l.table, bytes
		}
	}
	return needs, largest, ofLargest
}

// duration is about how long joining in process takes.
func (p *plan) duration() time.Duration {
	values := p.base.Rows() * int64(len(p.base.Columns)+len(p.columns))
	return time.Duration(float64(values) / valuesPerSecond * float64(time.Second))
}

// usable says why Athena cannot make this join, or nil.
func (s Settings) usable(p *plan) error {
	if s.Athena == nil {
		return errors.New("there is no Athena here")
	}
	return p.sqlProblem()
}

// choose picks the engine, and says why.
func (s Settings) choose(p *plan) (Engine, string, error) {
	if s.Engine == InAthena {
		return InAthena, "it is set", s.usable(p)
	}
	if s.Engine == InProcess {
		return InProcess, "it is set", nil
	}
	needs, largest, ofLargest := p.memory()
	took := p.duration()
	var reason string
	switch {
	case needs > int64(s.Limits.Memory):
		reason = s.Limits.tooLarge(largest, ofLargest, needs).Error()
	case s.Limits.Time > 0 && took > s.Limits.Time:
		reason = fmt.Sprintf("table %s: its %d rows take about %s to join in process, the function has %s for it", p.base.Name, p.base.Rows(), took.Round(time.Second), s.Limits.Time)
	default:
		return InProcess, fmt.Sprintf("the joined tables need about %d MiB of the %d MiB allowed", needs>>20+1, s.Limits.Memory>>20), nil
	}
	if problem := s.usable(p); problem != nil {
		// In process anyhow: the estimate may be too high, and if it is not, the refusal is exact.
		return InProcess, fmt.Sprintf("%s; but Athena cannot join them: %s", reason, problem), nil
	}
	return InAthena, reason, nil
}
