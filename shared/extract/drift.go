package extract

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// DriftError lists the changes of a table since its last run that would break its readers, and that
// nobody has acknowledged.
type DriftError struct {
	Dataset, Table string
	Since          lake.Run
	Changes        []Change
}

// Change is a column that was dropped or has another type.
type Change struct {
	Column, Was string
	Is          string // its type, or dataset.Dropped
}

func (c Change) String() string {
	if c.Is == dataset.Dropped {
		return fmt.Sprintf("column %s %s was dropped", c.Column, c.Was)
	}
	return fmt.Sprintf("column %s was %s, is %s", c.Column, c.Was, c.Is)
}

// List is the changes in one line.
func (e *DriftError) List() string {
	changes := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		changes[i] = c.String()
	}
	return fmt.Sprintf("table %s has changed since run %s: %s", e.Table, e.Since, strings.Join(changes, "; "))
}

func (e *DriftError) Error() string {
	lines := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		lines[i] = fmt.Sprintf("%q: %q", c.Column, c.Is)
	}
	return fmt.Sprintf("%s. Nothing is written. If its readers can take that, say so in shared/dataset/%s.yaml under tables.%s.extract:\n  drift: {%s}",
		e.List(), e.Dataset, e.Table, strings.Join(lines, ", "))
}

// drift compares the columns with those of the last run. What is new, or can be NULL now, is carried
// and listed; what is gone or has another type fails until it is acknowledged.
func drift(r Request, last *earlier, columns []schema.Column) (carried []string, err error) {
	if last == nil || len(last.manifest.Columns) == 0 {
		return nil, nil // landed by hand, without a word of its columns
	}
	breaking := &DriftError{Dataset: r.Dataset, Table: r.Table, Since: last.manifest.Run}
	refuse := func(c Change) {
		if r.Settings.Extract.Drift[c.Column] == c.Is {
			carried = append(carried, c.String()+" (acknowledged)")
		} else {
			breaking.Changes = append(breaking.Changes, c)
		}
	}
	for _, was := range last.manifest.Columns {
		i := schema.Index(columns, was.Name)
		if i < 0 {
			refuse(Change{was.Name, declared(was), dataset.Dropped})
			continue
		}
		is := columns[i]
		if exact(was) != exact(is) {
			refuse(Change{was.Name, declared(was), declared(is)})
		} else if is.Nullable && !was.Nullable {
			carried = append(carried, fmt.Sprintf("column %s can be NULL now", is.Name))
		}
	}
	for _, c := range columns {
		if schema.Index(last.manifest.Columns, c.Name) < 0 {
			carried = append(carried, fmt.Sprintf("column %s %s is new", c.Name, declared(c)))
		}
	}
	if breaking.Changes != nil {
		return nil, breaking
	}
	return carried, nil
}

// exact is what readers depend on: not the length of a text, nor whether it may be NULL.
func exact(c schema.Column) schema.Column {
	c.Nullable, c.Source = false, ""
	return c
}

// declared is the type as the database writes it, or as the lake does if the file came from elsewhere.
func declared(c schema.Column) string {
	if c.Source != "" {
		return c.Source
	}
	return string(c.Kind)
}
