package extract

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// The overlap where the dataset names none covers transactions that were open while the run before was
// extracted, and committed rows below its high watermark afterwards: rows of an online shop commit
// within seconds, ten minutes leave room for a batch; a thousand numbers are those that such a batch may have drawn.
const (
	DefaultOverlap       = 10 * time.Minute
	DefaultNumberOverlap = 1000
)

// earlier is a run of the table before this one.
type earlier struct {
	manifest lake.RawManifest
	parent   lake.Parent
}

// earlierRuns are the newest run before this one, and the newest of an earlier day; nil if there is none.
type earlierRuns struct{ last, day *earlier }

func (l *landing) earlierRuns(ctx context.Context) (before earlierRuns, err error) {
	r := l.request
	keys, err := l.Store.List(ctx, lake.RawRoot(r.Table))
	if err != nil {
		return before, err
	}
	var last, day lake.Run
	for _, key := range keys {
		run, ok := lake.RunOf(key)
		if ok && run < r.Run {
			last = max(last, run)
			if run.Date() < r.Run.Date() {
				day = max(day, run)
			}
		}
	}
	if before.last, err = l.earlierRun(ctx, last); err != nil || day == last {
		before.day = before.last
		return before, err
	}
	before.day, err = l.earlierRun(ctx, day)
	return before, err
}

func (l *landing) earlierRun(ctx context.Context, run lake.Run) (*earlier, error) {
	if run == "" {
		return nil, nil
	}
	key := lake.RawMarker(l.request.Table, run)
	manifest, parent, err := lake.ReadMarker[lake.RawManifest](ctx, l.Store, key, lake.RawFormat)
	if err != nil {
		return nil, fmt.Errorf("earlier run: %w", err)
	}
	if manifest.Dataset != l.request.Dataset {
		return nil, fmt.Errorf("earlier run %s is of dataset %q, this one of %q: tables of two databases cannot lie in one place", key, manifest.Dataset, l.request.Dataset)
	}
	return &earlier{manifest, parent}, nil
}

// boundWatermark sets the rows of an incremental run: from the greatest watermark of the last day
// on, less the overlap, to the greatest in the snapshot, both inclusive. Counting from the last
// day, not from the last run, lets a second run of a day replace the first without losing its rows.
func (l *landing) boundWatermark(ctx context.Context, before *earlier, state *lake.RawCheckpoint) error {
	e := l.request.Settings.Extract
	if e.Watermark == "" {
		return nil
	}
	if len(state.Key) == 0 && state.Mode == dataset.Incremental {
		return fmt.Errorf("table %s has no key, and the incremental mode needs one: of the rows that it has read for a key, the newest counts", state.Table)
	}
	high, nulls, err := l.tables[0].High(ctx, e.Watermark)
	if err != nil {
		return err
	}
	column := state.Columns[schema.Index(state.Columns, e.Watermark)]
	overlap, err := parseOverlap(column, e.Overlap)
	if err != nil {
		return fmt.Errorf("table %s: %w", state.Table, err)
	}
	if state.Mode == dataset.Full {
		if high != nil && !nulls { // the next incremental run counts from here
			state.Watermark = &lake.Watermark{Column: column.Name, High: *high}
		}
		return nil
	}
	if nulls {
		return fmt.Errorf("table %s: rows without a value in the watermark column %s would be in no run: give them one (UPDATE) and declare it NOT NULL, or use mode: full", state.Table, column.Name)
	}
	w := &lake.Watermark{Column: column.Name}
	if before != nil && before.manifest.Watermark != nil && before.manifest.Watermark.Column == column.Name {
		w.High = before.manifest.Watermark.High
		if w.Low, err = lowerBound(column, w.High, overlap); err != nil {
			return fmt.Errorf("table %s: watermark of the earlier run %s: %w", state.Table, before.manifest.Run, err)
		}
	}
	switch {
	case high != nil:
		w.High = *high
	case w.High == "": // an empty table, and nothing before: all of it is read
		state.Mode = dataset.Full
		return nil
	}
	if w.Low != nil {
		// The greatest rows are gone: read from what is the greatest now, so that nothing that comes between is missed.
		if above, err := greater(column, *w.Low, w.High); err != nil {
			return err
		} else if above {
			w.Low = &w.High
		}
		state.Parents = []lake.Parent{before.parent}
	}
	state.Watermark = w
	return nil
}

// parseOverlap is in the unit of the column's values: numbers, days or microseconds.
func parseOverlap(c schema.Column, text string) (uint64, error) {
	duration, notDuration := DefaultOverlap, error(nil)
	if text != "" {
		duration, notDuration = time.ParseDuration(text)
	}
	switch c.Kind {
	case schema.Int, schema.Uint:
		n, err := strconv.ParseUint(cmp.Or(text, strconv.Itoa(DefaultNumberOverlap)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("overlap %q: the watermark column %s is a number: want a number such as 1000", text, c.Name)
		}
		return n, nil
	case schema.Date:
		duration = (duration + day - 1) / day * day // whole days
	}
	if notDuration != nil || duration < 0 {
		return 0, fmt.Errorf("overlap %q: the watermark column %s is %s: want a duration such as 10m", text, c.Name, c.Kind)
	}
	if c.Kind == schema.Date {
		return uint64(duration / day), nil
	}
	return uint64(duration.Microseconds()), nil
}

const day = 24 * time.Hour

// lowerBound is high less the overlap, or nil if no value is that small.
func lowerBound(c schema.Column, high string, overlap uint64) (*string, error) {
	v, err := parseWatermark(c, high)
	if err != nil {
		return nil, err
	}
	if c.Kind == schema.Uint {
		difference, borrow := bits.Sub64(uint64(v.Int), overlap, 0)
		if borrow != 0 {
			return nil, nil
		}
		v.Int = int64(difference)
	} else {
		least := int64(math.MinInt64)
		if c.Kind != schema.Int {
			first, err := parseWatermark(c, firstMoment[:len(high)])
			if err != nil {
				return nil, err
			}
			least = first.Int
		}
		if uint64(v.Int)-uint64(least) < overlap {
			return nil, nil
		}
		v.Int -= int64(overlap)
	}
	low := string(schema.AppendText(nil, c, v))
	return &low, nil
}

// firstMoment is the least of MySQL's calendar: https://dev.mysql.com/doc/refman/8.4/en/datetime.html
// promises nothing before the year 1000.
const firstMoment = "1000-01-01 00:00:00.000000"

// parseWatermark reads a value's canonical text.
func parseWatermark(c schema.Column, text string) (v schema.Value, err error) {
	var at time.Time
	switch c.Kind {
	case schema.Int:
		v.Int, err = strconv.ParseInt(text, 10, 64)
	case schema.Uint:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		v.Int = int64(n)
	case schema.Date:
		at, err = time.Parse(time.DateOnly, text)
		v.Int = at.Unix() / int64(day/time.Second)
	case schema.Datetime, schema.Timestamp:
		at, err = time.Parse("2006-01-02 15:04:05.999999", text)
		v.Int = at.UnixMicro()
	default:
		err = errors.New("no date, time or integer")
	}
	if err != nil {
		err = fmt.Errorf("%q is not a value of column %s (%s): use mode full once", text, c.Name, c.Kind)
	}
	return v, err
}

func greater(c schema.Column, a, b string) (bool, error) {
	x, err := parseWatermark(c, a)
	if err != nil {
		return false, err
	}
	y, err := parseWatermark(c, b)
	return bytes.Compare(schema.AppendOrdered(nil, c, x), schema.AppendOrdered(nil, c, y)) > 0, err
}
