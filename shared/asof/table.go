// Package asof reads a curated table as it was at a run. The day of a full run is the whole table. The day of an
// incremental run holds the rows that changed, and the table is the newest row per key over the days back to a whole one.
//
// Rows deleted in the source stay until the next full run: a watermark does not see them.
package asof

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Table is a table as of a run, by the markers of its days.
type Table struct {
	Name string
	// Columns are the newest day's. One that is not in every day is NULL in the older ones, and one that only older days have is left out.
	Columns []schema.Column
	// Key identifies a row; empty only if there is one day.
	Key []string
	// Days are newest first, the last one whole.
	Days []lake.CuratedSuccess

	keyAt []int
	from  [][]int // per day and column: its position in the day's columns, or -1
}

// Rows is how many rows the days hold: an upper bound for those of the table.
func (t *Table) Rows() (rows int64) {
	for _, day := range t.Days {
		rows += day.Rows
	}
	return rows
}

// whole says whether a day needs no older one.
func whole(day lake.CuratedSuccess) bool { return day.Watermark == nil || day.Watermark.Low == nil }

// New checks that the days, newest first, follow each other without a gap.
func New(days []lake.CuratedSuccess) (*Table, error) {
	newest := days[0]
	t := &Table{Name: newest.Table, Columns: slices.Clone(newest.Columns), Key: newest.Key, Days: days}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("table %s as of run %s: %w", t.Name, newest.Run, err)
	}
	return t, nil
}

// ErrRefresh ends what only a full run can mend.
var ErrRefresh = errors.New("extract it whole once (millrace run --full), incremental runs go on from there")

func (t *Table) check() error {
	if oldest := t.Days[len(t.Days)-1]; !whole(oldest) {
		return fmt.Errorf("day %s holds the changes since %s, and no older day is there: %w", oldest.Run.Date(), *oldest.Watermark.Low, ErrRefresh)
	}
	var err error
	if len(t.Days) > 1 {
		if len(t.Key) == 0 {
			return fmt.Errorf("it has no key, so the newest row of each cannot be told: name a key in the dataset file, or use extract.mode: full")
		}
		if t.keyAt, err = schema.Positions(t.Columns, t.Key); err != nil {
			return fmt.Errorf("key: %w", err)
		}
	}
	for i, day := range t.Days {
		if i+1 < len(t.Days) {
			if err := follows(day, t.Days[i+1]); err != nil {
				return err
			}
		}
		from, err := t.match(day)
		if err != nil {
			return fmt.Errorf("day %s: %w", day.Run.Date(), err)
		}
		t.from = append(t.from, from)
	}
	return nil
}

// follows says that a day's changes begin where the older day ends, or before.
func follows(day, older lake.CuratedSuccess) error {
	switch {
	case whole(day):
		return fmt.Errorf("day %s is whole already, but day %s is named as well", day.Run.Date(), older.Run.Date())
	case !slices.Equal(day.Key, older.Key):
		return fmt.Errorf("the key is %v on day %s and %v on day %s: %w", day.Key, day.Run.Date(), older.Key, older.Run.Date(), ErrRefresh)
	case older.Watermark == nil: // a full run: it held everything at its time, but not up to which watermark
		return nil
	case older.Watermark.Column != day.Watermark.Column:
		return fmt.Errorf("the watermark is %s on day %s and %s on day %s: %w", day.Watermark.Column, day.Run.Date(), older.Watermark.Column, older.Run.Date(), ErrRefresh)
	}
	column := day.Watermark.Column
	at := schema.Index(day.Columns, column)
	if at < 0 {
		return fmt.Errorf("day %s has no watermark column %s", day.Run.Date(), column)
	}
	order, err := compare(day.Columns[at], *day.Watermark.Low, older.Watermark.High)
	if err != nil {
		return fmt.Errorf("watermark %s: %w", column, err)
	}
	if order > 0 {
		return fmt.Errorf("there is a gap: day %s begins at %s %s, the day before it that is there, %s, ends at %s. Curate the missing day again while raw/ has it, or %w",
			day.Run.Date(), column, *day.Watermark.Low, older.Run.Date(), older.Watermark.High, ErrRefresh)
	}
	return nil
}

// match finds the table's columns in a day's.
func (t *Table) match(day lake.CuratedSuccess) ([]int, error) {
	from := make([]int, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		if from[i] = schema.Index(day.Columns, c.Name); from[i] < 0 {
			if slices.Contains(t.Key, c.Name) {
				return nil, fmt.Errorf("the key's column %s is not in it: %w", c.Name, ErrRefresh)
			}
			c.Nullable = true
			continue
		}
		older := day.Columns[from[i]]
		if !holds(*c, older) {
			return nil, fmt.Errorf("column %s is %s in it, now it is %s: %w", c.Name, typeName(older), typeName(*c), ErrRefresh)
		}
		c.Nullable = c.Nullable || older.Nullable
	}
	return from, nil
}

// holds says whether every value of an older column is a value of c.
func holds(c, older schema.Column) bool {
	return c.Kind == older.Kind && c.Bits >= older.Bits && c.Scale == older.Scale && c.Precision >= older.Precision && c.Fraction >= older.Fraction
}

// typeName is the type as the database declares it, else ours.
func typeName(c schema.Column) string {
	if c.Source != "" {
		return c.Source
	}
	return string(c.Kind)
}
