package dataset

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/shared/transform"
)

type report func(format string, args ...any)

func (d *Dataset) checkTables(problem report) {
	if d.Name == "" {
		problem("name: missing")
	}
	if len(d.Tables) == 0 {
		problem("tables: none")
	}
	for _, name := range d.TableNames() {
		t := d.Tables[name]
		if strings.Contains(name, ".") {
			problem("tables.%s: a table's name cannot contain a point", name)
		}
		t.Extract.check(func(format string, args ...any) { problem("tables."+name+".extract."+format, args...) })
		if t.Extract.Mode == Incremental && len(t.Key) == 0 {
			problem("tables.%s.key: missing: of the rows that an incremental table has for a key, the newest counts", name)
		}
		repeated(problem, "tables."+name+".key", t.Key)
		// Which columns there are only the table itself says: partition.Write looks again.
		if _, err := transform.ParseAll(t.PartitionBy, func(string) bool { return false }); err != nil {
			for line := range strings.Lines(err.Error()) {
				problem("tables.%s.partition_by: %s", name, strings.TrimSpace(line))
			}
		}
	}
}

func (e Extract) check(problem report) {
	if e.Mode != Full && e.Mode != Incremental {
		problem("mode: %q is neither %q nor %q", e.Mode, Full, Incremental)
	}
	if e.Mode == Incremental && e.Watermark == "" {
		problem("watermark: missing: mode %s needs the column that says when a row was last changed or added", Incremental)
	}
	if e.Overlap != "" {
		if e.Watermark == "" {
			problem("overlap: there is no watermark for it")
		}
		duration, notDuration := time.ParseDuration(e.Overlap)
		_, notNumber := strconv.ParseUint(e.Overlap, 10, 64)
		if notNumber != nil && (notDuration != nil || duration < 0) {
			problem("overlap: %q is neither a duration such as 10m nor a number such as 1000", e.Overlap)
		}
	}
	if z := e.ZeroDates; z != ZeroDatesFail && z != ZeroDatesNull {
		problem("zero_dates: %q is neither %q nor %q (in quotes)", z, ZeroDatesFail, ZeroDatesNull)
	}
	if z := e.InvalidText; z != "" && z != InvalidTextFail && z != InvalidTextNull {
		problem("invalid_text: %q is neither %q nor %q (in quotes)", z, InvalidTextFail, InvalidTextNull)
	}
	for _, column := range slices.Sorted(maps.Keys(e.Drift)) {
		if e.Drift[column] == "" {
			problem("drift.%s: missing: the column's new type in quotes, or %s", column, Dropped)
		}
	}
}

// checkCatalog refuses two tables by one name in the catalog, which folds case. It has two of its own: what the streams write.
func (d *Dataset) checkCatalog(problem report) {
	taken := map[string]string{"activity": "the stream's table of events", "recommendations": "the stream's table of answers"}
	take := func(where, name string) {
		folded := strings.ToLower(name)
		if by, is := taken[folded]; is {
			problem("%s: %q is in the catalog already: %s; give a view of it another name", where, name, by)
			return
		}
		taken[folded] = where
	}
	for _, name := range d.TableNames() {
		take("tables."+name, name)
	}
	if d.Training.Table != "" {
		take("training.table", d.Training.Table)
	}
}

func (d *Dataset) checkTraining(problem report) {
	t := d.Training
	if t.Table == "" {
		problem("training.table: missing: its name in the catalog")
	}
	d.known(problem, "training.base", t.Base)
	joined := []string{t.Base}
	for _, j := range t.Joins {
		d.known(problem, "training.joins", j.Table)
		if slices.Contains(joined, j.Table) {
			problem("training.joins: table %q is there twice", j.Table)
		}
		if len(j.On) == 0 {
			problem("training.joins: table %q has no on: {column of %s: its column}", j.Table, t.Base)
		}
		joined = append(joined, j.Table)
	}
	var columns []string
	for _, qualified := range t.Columns {
		table, column := Column(qualified)
		if column == "" || !slices.Contains(joined, table) {
			problem("training.columns: %q is not a column of %s", qualified, strings.Join(joined, ", "))
		}
		columns = append(columns, column)
	}
	if len(t.Columns) == 0 {
		problem("training.columns: none")
	}
	repeated(problem, "training.columns", columns)
	for _, role := range []struct {
		name, column string
		required     bool
	}{{"user", t.User, true}, {"item", t.Item, true}, {"weight", t.Weight, false}, {"time", t.Time, false}} {
		if role.column == "" && !role.required {
			continue
		}
		if !slices.Contains(columns, role.column) {
			problem("training.%s: %q is not one of training.columns", role.name, role.column)
		}
	}
}

func (d *Dataset) checkEntity(problem report, where string, e Entity) {
	d.known(problem, where+".table", e.Table)
	if e.ID == "" {
		problem("%s.id: missing: the column that identifies them", where)
	}
	var columns []string
	for _, f := range e.Features {
		if f.Column == "" {
			problem("%s.features: a feature has no column", where)
		}
		if f.Kind != Category && f.Kind != Categories && f.Kind != Number {
			problem("%s.features.%s: kind %q is neither %q, %q nor %q", where, f.Column, f.Kind, Category, Categories, Number)
		}
		if (f.Kind == Categories) != (f.Separator != "") {
			problem("%s.features.%s: a separator is for %q, which needs one", where, f.Column, Categories)
		}
		columns = append(columns, f.Column)
	}
	repeated(problem, where+".features", columns)
}

func (d *Dataset) checkEvent(problem report) {
	e := d.Event
	for _, field := range []struct{ name, value string }{{"user", e.User}, {"history", e.History}, {"item", e.Item}} {
		if field.value == "" {
			problem("event.%s: missing: the name of the event's field", field.name)
		}
	}
	for _, w := range []struct {
		name  string
		value float64
		want  string
		ok    bool
	}{
		{"view", e.Weights.View, "a number above zero", e.Weights.View > 0},
		{"cart", e.Weights.Cart, "a number above zero", e.Weights.Cart > 0},
		{"quantity", e.Weights.Quantity, "zero or more", e.Weights.Quantity >= 0},
		{"decay", e.Weights.Decay, "above 0, at most 1", e.Weights.Decay > 0 && e.Weights.Decay <= 1},
	} {
		if !w.ok || math.IsInf(w.value, 0) {
			problem("event.weights.%s: %v, want %s", w.name, w.value, w.want)
		}
	}
	for _, field := range []struct {
		name, value string
		set         bool
	}{
		{"session", e.Session, e.Defaults.Session != nil},
		{"quantity", e.Quantity, e.Defaults.Quantity != nil},
		{"in_cart", e.InCart, e.Defaults.InCart != nil},
	} {
		if field.set && field.value == "" {
			problem("event.defaults.%s: the event has no such field: name it in event.%s", field.name, field.name)
		}
	}
	if q := e.Defaults.Quantity; q != nil && !(*q >= 0 && *q <= 1e9) {
		problem("event.defaults.quantity: %v, want zero or more", *q)
	}
	for _, field := range slices.Sorted(maps.Keys(e.Features)) {
		if column := e.Features[field]; !slices.ContainsFunc(d.Users.Features, func(f Feature) bool { return f.Column == column }) {
			problem("event.features.%s: %q is not one of users.features", field, column)
		}
	}
}

func (d *Dataset) checkRecommendations(problem report) {
	r := d.Recommendations
	if r.Hide != "" && r.Hide != HideNothing && r.Hide != HideBought {
		problem("recommendations.hide: %q is neither %q nor %q", r.Hide, HideNothing, HideBought)
	}
	if c := r.PerCategory; (c.Column == "") != (c.AtMost == 0) || c.AtMost < 0 {
		problem("recommendations.per_category: {column: %s, at_most: %d}: want a column of %s and a number above zero, or neither", c.Column, c.AtMost, d.Items.Table)
	}
}

func (d *Dataset) known(problem report, where, table string) {
	if _, ok := d.Tables[table]; !ok {
		problem("%s: table %q is not one of tables (%s)", where, table, strings.Join(d.TableNames(), ", "))
	}
}

func repeated(problem report, where string, names []string) {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			problem("%s: %q is there twice", where, n)
		}
		seen[n] = true
	}
}
