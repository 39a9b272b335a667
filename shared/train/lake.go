package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/schema"
)

// FromLake reads a published training set, and the users and items from the curated tables it was made from, as of its run. Every file is
// verified against its marker. lake.ErrStale says that a newer run has replaced something meanwhile.
func FromLake(ctx context.Context, s lake.Store, d *dataset.Dataset, t lake.TrainingSuccess) (Input, error) {
	in := Input{UserFields: fields(d.Users), ItemFields: fields(d.Items)}
	var err error
	if in.Interactions, err = interactions(ctx, s, d.Training, t); err != nil {
		return Input{}, fmt.Errorf("training set of run %s: %w", t.Run, err)
	}
	tables, err := asof.Read(ctx, s, t.Parents)
	if err != nil {
		return Input{}, fmt.Errorf("training set of run %s: %w", t.Run, err)
	}
	for _, side := range []struct {
		into    *[]Entity
		of      dataset.Entity
		columns []string // beside the features
	}{{&in.Users, d.Users, nil}, {&in.Items, d.Items, d.Recommendations.Columns()}} {
		table, there := tables[side.of.Table]
		if !there {
			return Input{}, fmt.Errorf("training set of run %s names no curated table %s among its parents: publish it again with this dataset file", t.Run, side.of.Table)
		}
		if *side.into, err = entityTable(ctx, s, side.of, side.columns, table); err != nil {
			return Input{}, fmt.Errorf("training set of run %s: %w", t.Run, err)
		}
	}
	return in, nil
}

func fields(e dataset.Entity) []features.Field {
	list := make([]features.Field, len(e.Features))
	for n, f := range e.Features {
		list[n] = features.Field{Name: f.Column, Kind: f.Kind, Separator: f.Separator}
	}
	return list
}

func interactions(ctx context.Context, s lake.Store, d dataset.Training, t lake.TrainingSuccess) (*Interactions, error) {
	x := &Interactions{}
	add, err := x.adder(t.Columns, Columns{User: d.User, Item: d.Item, Weight: d.Weight, Time: d.Time})
	if err != nil {
		return nil, err
	}
	for _, f := range t.Files {
		n := 0
		for row, err := range laketable.Rows(ctx, s, f, t.Columns) {
			if err != nil {
				return nil, err
			}
			n++
			if column, err := add(row); err != nil {
				return nil, &FileError{File: f.Key, Line: n, Column: column, Err: err}
			}
		}
	}
	return x, nil
}

// adder returns what adds a row of these columns; it names the column of a value that cannot be used.
func (x *Interactions) adder(cols []schema.Column, names Columns) (func(schema.Row) (column string, err error), error) {
	at, err := names.positions(schema.Names(cols))
	if err != nil {
		return nil, err
	}
	return func(row schema.Row) (string, error) {
		user, item := schema.Text(cols[at[0]], row[at[0]]), schema.Text(cols[at[1]], row[at[1]])
		if user == "" {
			return names.User, errors.New("is NULL or empty")
		}
		if item == "" {
			return names.Item, errors.New("is NULL or empty")
		}
		weight := 1.0
		if at[2] >= 0 {
			if row[at[2]].Null {
				x.Skip()
				return "", nil
			}
			var numeric bool
			if weight, numeric = schema.Number(cols[at[2]], row[at[2]]); !numeric {
				return names.Weight, fmt.Errorf("is a %s, want a number", cols[at[2]].Kind)
			}
		}
		if at[3] < 0 {
			return names.Weight, x.Add(user, item, weight)
		}
		when, numeric := schema.Number(cols[at[3]], row[at[3]])
		if !numeric {
			return names.Time, errors.New("is NULL or no date, time or number")
		}
		return names.Weight, x.AddAt(user, item, weight, int64(when))
	}, nil
}

// entityTable reads the id, the name, the features and more columns of every row.
func entityTable(ctx context.Context, s lake.Store, e dataset.Entity, more []string, table *asof.Table) ([]Entity, error) {
	cols := table.Columns
	names := []string{e.ID}
	if e.Name != "" {
		names = append(names, e.Name)
	}
	var values []string
	for _, f := range e.Features {
		values = append(values, f.Column)
	}
	for _, column := range more {
		if !slices.Contains(values, column) {
			values = append(values, column)
		}
	}
	names = append(names, values...)
	at, err := schema.Positions(cols, names)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table.Name, err)
	}
	first := len(names) - len(values)
	list := make([]Entity, 0, table.Rows())
	for row, err := range table.Each(ctx, s, changedKeys) {
		if err != nil {
			return nil, err
		}
		entity := Entity{ID: schema.Text(cols[at[0]], row[at[0]]), Values: features.Record{}}
		if e.Name != "" {
			entity.Name = schema.Text(cols[at[1]], row[at[1]])
		}
		for n, position := range at[first:] {
			if v := row[position]; !v.Null {
				entity.Values[values[n]] = schema.Text(cols[position], v)
			}
		}
		list = append(list, entity)
	}
	return list, nil
}

// changedKeys bounds the keys of users and items changed since their table's last full run: about three million. They are
// forgotten before training, which needs several times as much for as many users.
const changedKeys = 256 << 20
