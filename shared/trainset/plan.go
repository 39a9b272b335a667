package trainset

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/schema"
)

// plan is the dataset's join, resolved to positions in the curated tables.
type plan struct {
	base    *asof.Table
	lookups []lookupPlan
	columns []schema.Column // of the training set
	output  []source        // of each column
}

// source is where an output column comes from: a column of the base, or one kept of a lookup.
type source struct {
	lookup int // index into lookups; -1 is the base
	at     int // column of the base, or position in keep
}

// lookupPlan is one inner join.
type lookupPlan struct {
	table  *asof.Table
	baseAt []int // columns of the base that refer …
	keyAt  []int // … to these columns of the table
	keep   []int // columns of the table that the output takes
}

// newPlan resolves names and types, and reports every problem at once.
func newPlan(shop *dataset.Dataset, tables map[string]*asof.Table) (*plan, error) {
	t := shop.Training
	p := &plan{base: tables[t.Base]}
	var problems []error
	find := func(table, column string) (int, schema.Column) {
		cols := tables[table].Columns
		if i := schema.Index(cols, column); i >= 0 {
			return i, cols[i]
		}
		problems = append(problems, fmt.Errorf("there is no column %s.%s (there are: %v)", table, column, schema.Names(cols)))
		return 0, schema.Column{}
	}
	number := map[string]int{t.Base: -1}
	for i, join := range t.Joins {
		l := lookupPlan{table: tables[join.Table]}
		for _, from := range slices.Sorted(maps.Keys(join.On)) {
			before := len(problems)
			baseAt, baseColumn := find(t.Base, from)
			keyAt, keyColumn := find(join.Table, join.On[from])
			if len(problems) == before && !joinable(baseColumn, keyColumn) {
				problems = append(problems, fmt.Errorf("%s.%s is %s, but %s.%s is %s: they cannot be joined",
					t.Base, from, typeName(baseColumn), join.Table, join.On[from], typeName(keyColumn)))
			}
			l.baseAt, l.keyAt = append(l.baseAt, baseAt), append(l.keyAt, keyAt)
		}
		number[join.Table] = i
		p.lookups = append(p.lookups, l)
	}
	for _, qualified := range t.Columns {
		table, name := dataset.Column(qualified)
		at, column := find(table, name)
		from := source{lookup: number[table], at: at}
		if from.lookup >= 0 {
			l := &p.lookups[from.lookup]
			from.at = len(l.keep)
			l.keep = append(l.keep, at)
		}
		p.columns = append(p.columns, column)
		p.output = append(p.output, from)
	}
	if problems != nil {
		return nil, fmt.Errorf("correct training in shared/dataset/%s.yaml: %w", shop.Name, errors.Join(problems...))
	}
	return p, nil
}

// joinable says whether equal values of two columns have equal canonical text.
func joinable(a, b schema.Column) bool {
	integer := func(c schema.Column) bool { return c.Kind == schema.Int || c.Kind == schema.Uint }
	if integer(a) && integer(b) {
		return true
	}
	return a.Kind == b.Kind && a.Scale == b.Scale && a.Fraction == b.Fraction
}

// typeName is the type as the database declares it, else ours.
func typeName(c schema.Column) string {
	if c.Source != "" {
		return c.Source
	}
	return string(c.Kind)
}
