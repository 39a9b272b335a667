// Package dataset reads the one file that describes a shop: its tables, its training set, who
// the users and what the items are, and the fields of its events. Nothing else in millrace
// knows a table or column name.
package dataset

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed *.yaml
var embedded embed.FS

// Dataset is a shop's description.
type Dataset struct {
	Name     string           `yaml:"name"`
	Tables   map[string]Table `yaml:"tables"`
	Training Training         `yaml:"training"`
	Users    Entity           `yaml:"users"`
	Items    Entity           `yaml:"items"`
	Event    Event            `yaml:"event"`

	Recommendations Recommendations `yaml:"recommendations"`
}

// Table says how one table is extracted and laid out.
type Table struct {
	Key         []string `yaml:"key"` // primary or unique key: chunks, sort order, newest row per key
	Extract     Extract  `yaml:"extract"`
	PartitionBy []string `yaml:"partition_by"`
}

// Modes of extraction, what happens to values that cannot be carried, and how a dropped column is acknowledged.
const (
	Full            = "full"
	Incremental     = "incremental"
	ZeroDatesFail   = "fail"
	ZeroDatesNull   = "null"
	InvalidTextFail = "fail"
	InvalidTextNull = "null"
	Dropped         = "dropped"
)

// Extract is how a table is read.
type Extract struct {
	Mode string `yaml:"mode"`
	// Watermark is the column that says when a row was last changed or added: the incremental mode
	// reads the rows from the last run's greatest value on.
	Watermark string `yaml:"watermark"`
	// Overlap is what is read again before that value, for rows whose transaction committed late: a
	// duration (10m) for dates and times, else a number. "" stands for extract.DefaultOverlap.
	Overlap     string `yaml:"overlap"`
	ZeroDates   string `yaml:"zero_dates"`
	InvalidText string `yaml:"invalid_text"` // "" is fail
	// Drift acknowledges changes that would break readers: a column's new type, or dropped.
	Drift map[string]string `yaml:"drift"`
}

// Training is the training set: base ⋈ joins, projected to columns ("table.column").
type Training struct {
	Table   string   `yaml:"table"` // its name in the catalog
	Base    string   `yaml:"base"`
	Joins   []Join   `yaml:"joins"`
	Columns []string `yaml:"columns"`
	User    string   `yaml:"user"`
	Item    string   `yaml:"item"`
	Weight  string   `yaml:"weight"`
	Time    string   `yaml:"time"` // optional: orders the hold-out
}

// Join is an inner join of a lookup table: On maps the base's column to the lookup's.
type Join struct {
	Table string            `yaml:"table"`
	On    map[string]string `yaml:"on"`
}

// Entity describes users or items: their table, identifier, name for people, and features.
type Entity struct {
	Table    string    `yaml:"table"`
	ID       string    `yaml:"id"`
	Name     string    `yaml:"name"`
	Features []Feature `yaml:"features"`
}

// Kinds of features.
const (
	Category   = "category"
	Categories = "categories"
	Number     = "number"
)

// Feature is a column the model may use.
type Feature struct {
	Column    string `yaml:"column"`
	Kind      string `yaml:"kind"`
	Separator string `yaml:"separator"` // of categories: what stands between two of them
}

// Event names the fields of a shop event.
type Event struct {
	User     string            `yaml:"user"`
	Session  string            `yaml:"session"`
	History  string            `yaml:"history"` // the list of items looked at
	Item     string            `yaml:"item"`    // fields of an entry of History
	Quantity string            `yaml:"quantity"`
	InCart   string            `yaml:"in_cart"`
	Time     string            `yaml:"time"`     // when it happened; "": when it arrived
	Features map[string]string `yaml:"features"` // event field → feature column of users
	Weights  Weights           `yaml:"weights"`
	Defaults Defaults          `yaml:"defaults"`
}

// Defaults stand for fields that are missing or null. A field of Event that has none must be there.
type Defaults struct {
	User     *string  `yaml:"user"` // "" is nobody
	Session  *string  `yaml:"session"`
	Quantity *float64 `yaml:"quantity"`
	InCart   *bool    `yaml:"in_cart"`
}

// Weights say how much the items of an event's history count; 1 is an average interaction of the training set.
type Weights struct {
	View     float64 `yaml:"view"`     // of an item that was looked at
	Cart     float64 `yaml:"cart"`     // of one in the cart
	Quantity float64 `yaml:"quantity"` // times 1 + quantity·ln(pieces): 0 counts ten pieces like one
	Decay    float64 `yaml:"decay"`    // an item counts so much of the one after it; a model tuned on sessions brings its own
}

// defaultWeights stand for an event without weights. An item in the cart says as much as three that were looked at. Decay: next item of
// Diginetica's test sessions, d = 64: HR@20 .451 and MRR@20 .152 with .4; .446/.151 with .5, .436/.145 with .87, .430/.140 with 1.
var defaultWeights = Weights{View: 1, Cart: 3, Quantity: 1, Decay: 0.4}

// What is never recommended to a user beside what is in the session.
const (
	HideNothing = "nothing"
	HideBought  = "bought" // items of the user's interactions in the training set
)

// Recommendations say which items may be recommended. A list is as long as asked for whenever enough items may be in it.
type Recommendations struct {
	Hide        string      `yaml:"hide"`         // "" is nothing
	InStock     string      `yaml:"in_stock"`     // column of items: only those with a number above zero, or NULL
	PerCategory PerCategory `yaml:"per_category"` // at most so many items of a list with the same value
}

// PerCategory is a column of items with a bound. Items without a value are not bound.
type PerCategory struct {
	Column string `yaml:"column"`
	AtMost int    `yaml:"at_most"`
}

// Columns are those of items that recommendations depend on, beside the features.
func (r Recommendations) Columns() (columns []string) {
	for _, c := range []string{r.InStock, r.PerCategory.Column} {
		if c != "" && !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	return columns
}

// Column splits a training column "table.column"; a table's name has no point.
func Column(qualified string) (table, column string) {
	table, column, _ = strings.Cut(qualified, ".")
	return table, column
}

// Names lists the datasets in the binary.
func Names() []string {
	files, _ := fs.Glob(embedded, "*.yaml")
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}

// Load reads an embedded dataset by name.
func Load(name string) (*Dataset, error) {
	text, err := embedded.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("dataset %q is not in this build (there are: %s); add shared/dataset/%s.yaml and deploy again",
			name, strings.Join(Names(), ", "), name)
	}
	d, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("dataset %s.yaml: %w", name, err)
	}
	if d.Name != name {
		return nil, fmt.Errorf("dataset %s.yaml: name is %q: the file is named for it", name, d.Name)
	}
	return d, nil
}

// Parse reads a dataset strictly (an unknown field is an error) and reports every problem at once.
func Parse(text []byte) (*Dataset, error) {
	d := Dataset{Event: Event{Weights: defaultWeights}} // what the file says replaces it, field by field
	var problems []error
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict(), yaml.DisallowUnknownField()).Decode(&d); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: copy classicmodels.yaml and describe your shop in it")
	} else if err != nil {
		problems = append(problems, errors.New(yaml.FormatError(err, false, true)))
		d = Dataset{Event: Event{Weights: defaultWeights}}
		if yaml.Unmarshal(text, &d) != nil { // not only a field too many: nothing can be said of the rest
			return nil, problems[0]
		}
	}
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	d.checkTables(problem)
	d.checkCatalog(problem)
	d.checkTraining(problem)
	d.checkEntity(problem, "users", d.Users)
	d.checkEntity(problem, "items", d.Items)
	d.checkEvent(problem)
	d.checkRecommendations(problem)
	if problems != nil {
		return nil, errors.Join(problems...)
	}
	return &d, nil
}

// Table finds a table's settings.
func (d *Dataset) Table(name string) (Table, error) {
	t, ok := d.Tables[name]
	if !ok {
		return Table{}, fmt.Errorf("dataset %s has no table %q (it has: %s); add it to shared/dataset/%s.yaml", d.Name, name, strings.Join(d.TableNames(), ", "), d.Name)
	}
	return t, nil
}

// TableNames lists the tables in alphabetical order.
func (d *Dataset) TableNames() []string { return slices.Sorted(maps.Keys(d.Tables)) }

// TrainingTables are the tables the training set and the model are made from, the base first.
func (d *Dataset) TrainingTables() []string {
	tables := []string{d.Training.Base}
	for _, j := range d.Training.Joins {
		tables = append(tables, j.Table)
	}
	for _, e := range []Entity{d.Users, d.Items} {
		if !slices.Contains(tables, e.Table) {
			tables = append(tables, e.Table)
		}
	}
	return tables
}
