// Package transform turns column values into partition values, as Apache Iceberg's transforms do: identity, year, month, day
// and bucket.
package transform

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/schema"
)

// Name is a transform's.
type Name string

const (
	Identity Name = "identity" // the value itself
	Year     Name = "year"
	Month    Name = "month"
	Day      Name = "day"
	Bucket   Name = "bucket" // one of n, by a hash
)

// maxBuckets are more folders than anybody lists.
const maxBuckets = 1_000_000

// Transform is a partition column as a dataset or a command names it.
type Transform struct {
	Name    Name
	Column  string
	Buckets int // of Bucket
}

// String is the form that Parse reads, always the same for the same transform: markers carry it.
func (t Transform) String() string {
	switch t.Name {
	case Identity:
		return t.Column
	case Bucket:
		return fmt.Sprintf("bucket(%d, %s)", t.Buckets, t.Column)
	}
	return string(t.Name) + "(" + t.Column + ")"
}

// Folder is the name of the partition column that Hive's folders show: the column's own, or <column>_month.
func (t Transform) Folder() string {
	if t.Name == Identity {
		return t.Column
	}
	return t.Column + "_" + string(t.Name)
}

// Parse reads "city", "month(ts)" or "bucket(16, user)". A column whose own name looks like a transform is identity(<name>).
func Parse(text string) (Transform, error) {
	text = strings.TrimSpace(text)
	name, argument, found := strings.Cut(text, "(")
	if text == "" {
		return Transform{}, errors.New("an empty partition column: name a column, or a transform such as month(ts)")
	}
	if !found || !strings.HasSuffix(text, ")") {
		return Transform{Name: Identity, Column: text}, nil
	}
	t := Transform{Name: Name(strings.TrimSpace(name)), Column: strings.TrimSpace(strings.TrimSuffix(argument, ")"))}
	switch t.Name {
	case Identity, Year, Month, Day:
	case Bucket:
		count, column, _ := strings.Cut(t.Column, ",")
		var err error
		t.Column = strings.TrimSpace(column)
		if t.Buckets, err = strconv.Atoi(strings.TrimSpace(count)); err != nil || t.Buckets < 1 || t.Buckets > maxBuckets {
			return Transform{}, fmt.Errorf("%q: write bucket(n, column) with a number n from 1 to %d", text, maxBuckets)
		}
	default:
		return Transform{}, fmt.Errorf("%q: there is no transform %q: write year(column), month(column), day(column), bucket(n, column), or identity(%s) for a column of this name",
			text, t.Name, text)
	}
	if t.Column == "" {
		return Transform{}, fmt.Errorf("%q names no column", text)
	}
	return t, nil
}

// ParseAll reads the partition columns of a table, of which exist decides between a column and a transform of the same look. It
// reports every problem.
func ParseAll(texts []string, exists func(column string) bool) ([]Transform, error) {
	var all []Transform
	var problems []error
	folders := map[string]string{}
	for _, text := range texts {
		t, err := Parse(text)
		if exists(text) {
			t, err = Transform{Name: Identity, Column: text}, nil
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if other, there := folders[t.Folder()]; there {
			problems = append(problems, fmt.Errorf("%q and %q both make folders %s=…: name one of them", other, text, t.Folder()))
		}
		folders[t.Folder()] = text
		all = append(all, t)
	}
	return all, errors.Join(problems...)
}

// Bound is a transform of a table's column.
type Bound struct {
	Transform
	At     int // of the column in the table
	source schema.Column
}

// Bind finds the column and checks that the transform is for columns of its kind.
func (t Transform) Bind(cols []schema.Column) (Bound, error) {
	at := schema.Index(cols, t.Column)
	if at < 0 {
		return Bound{}, fmt.Errorf("%s: there is no column %s (there are: %s)", t, t.Column, strings.Join(schema.Names(cols), ", "))
	}
	b := Bound{t, at, cols[at]}
	kind := b.source.Kind
	switch t.Name {
	case Identity:
		if kind == schema.Bytes || kind == schema.Vector {
			return b, fmt.Errorf("%s: a column of kind %s cannot name a folder: name another column, or bucket(n, %s)", t, kind, t.Column)
		}
	case Bucket:
		if kind == schema.Float || kind == schema.Double || kind == schema.Vector {
			return b, fmt.Errorf("%s: a column of kind %s has no buckets, since equal numbers may differ in their bits: name another column", t, kind)
		}
	default:
		if kind != schema.Date && kind != schema.Datetime && kind != schema.Timestamp {
			return b, fmt.Errorf("%s: a column of kind %s has no %s: name a date, datetime or timestamp", t, kind, t.Name)
		}
	}
	return b, nil
}
