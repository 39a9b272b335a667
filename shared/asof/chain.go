package asof

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/shared/lake"
)

// maxMissingDays bounds the search for an older day: one request each, a table may be extracted once a quarter.
const maxMissingDays = 100

// Chain names the markers of the days that make up the table as of a run, newest first, beginning with the run's own. That
// they fit together is checked by Read.
func Chain(ctx context.Context, s lake.Store, marker lake.CuratedSuccess, self lake.Parent) ([]lake.Parent, error) {
	parents := []lake.Parent{self}
	for !whole(marker) {
		older, parent, err := dayBefore(ctx, s, marker)
		if errors.Is(err, lake.ErrNotFound) {
			break // Read says that the oldest day is not whole
		} else if err != nil {
			return nil, err
		}
		marker, parents = older, append(parents, parent)
	}
	return parents, nil
}

// dayBefore is the newest older day of the table.
func dayBefore(ctx context.Context, s lake.Store, m lake.CuratedSuccess) (older lake.CuratedSuccess, self lake.Parent, err error) {
	for days := 1; days <= maxMissingDays; days++ {
		key := lake.CuratedMarker(m.Table, lake.NewRun(m.Run.Time().AddDate(0, 0, -days)))
		older, self, err = lake.ReadMarker[lake.CuratedSuccess](ctx, s, key, lake.CuratedFormat)
		if !errors.Is(err, lake.ErrNotFound) {
			return older, self, err
		}
	}
	return older, self, err
}

// Read reads the markers that a training set names as parents, of any tables, each table's newest first, and puts together the tables as
// they were. lake.ErrStale or lake.ErrNotFound says that a marker was replaced since.
func Read(ctx context.Context, s lake.Store, parents []lake.Parent) (map[string]*Table, error) {
	days := map[string][]lake.CuratedSuccess{}
	for _, p := range parents {
		marker, err := lake.ReadParent[lake.CuratedSuccess](ctx, s, p, lake.CuratedFormat)
		if err != nil {
			return nil, err
		}
		if newer := days[marker.Table]; newer != nil && newer[len(newer)-1].Run <= marker.Run {
			return nil, fmt.Errorf("markers of table %s: run %s is named after run %s, want newest first", marker.Table, marker.Run, newer[len(newer)-1].Run)
		}
		days[marker.Table] = append(days[marker.Table], marker)
	}
	tables := map[string]*Table{}
	for name, of := range days {
		table, err := New(of)
		if err != nil {
			return nil, err
		}
		tables[name] = table
	}
	return tables, nil
}
