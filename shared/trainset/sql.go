package trainset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/schema"
)

// The SQL is Athena's (Trino's). Identifiers are in double quotes, which takes every name and reserved word, and in lower case, as Glue
// folds them. The parts that have no other name are b (base), l0, l1 … (lookups) and c0, c1 … (columns of the training set).

const (
	maxSQLDigits = 38 // of a decimal
	sqlFraction  = 3  // digits of the second in Athena's timestamp of a Hive table: it cuts off the rest
	dayColumn    = "dt"
)

// sqlProblem says why Athena would give other values than the files hold, or nil.
func (p *plan) sqlProblem() error {
	var problems []error
	check := func(t *asof.Table, at []int) {
		for _, i := range slices.Compact(slices.Sorted(slices.Values(at))) {
			switch c := t.Columns[i]; {
			case strings.EqualFold(c.Name, dayColumn):
				problems = append(problems, fmt.Errorf("%s.%s is hidden by the partition of that name", t.Name, c.Name))
			case c.Kind == schema.Decimal && c.Precision > maxSQLDigits:
				problems = append(problems, fmt.Errorf("%s.%s is decimal(%d,%d), Athena's decimals end at %d digits", t.Name, c.Name, c.Precision, c.Scale, maxSQLDigits))
			case (c.Kind == schema.Datetime || c.Kind == schema.Timestamp) && c.Fraction > sqlFraction:
				problems = append(problems, fmt.Errorf("%s.%s has %d digits of the second, Athena reads %d", t.Name, c.Name, c.Fraction, sqlFraction))
			}
		}
	}
	check(p.base, p.baseColumns())
	for _, l := range p.lookups {
		check(l.table, l.columns())
	}
	return errors.Join(problems...)
}

// baseColumns are the positions of what is used of the base.
func (p *plan) baseColumns() []int {
	at := keyOf(p.base)
	for _, from := range p.output {
		if from.lookup < 0 {
			at = append(at, from.at)
		}
	}
	for _, l := range p.lookups {
		at = append(at, l.baseAt...)
	}
	return at
}

func (l *lookupPlan) columns() []int { return slices.Concat(keyOf(l.table), l.keyAt, l.keep) }

// keyOf is what tells the newest row, where there are several days.
func keyOf(t *asof.Table) (at []int) {
	if len(t.Days) > 1 {
		for _, name := range t.Key {
			at = append(at, schema.Index(t.Columns, name))
		}
	}
	return at
}

// selectSQL is the join: the same rows as in process, in another order.
func (p *plan) selectSQL(database string) string {
	var columns []string
	for i, from := range p.output {
		column, table := p.columns[i], "b"
		name := column.Name
		if from.lookup >= 0 {
			table = fmt.Sprintf("l%d", from.lookup)
		}
		columns = append(columns, fmt.Sprintf("%s AS c%d", carried(column, table+"."+quoted(name)), i))
	}
	return "SELECT " + strings.Join(columns, ", ") + p.from(database, "JOIN")
}

// carried is a value in a type that comes back exactly: Athena's Parquet writer has its own for timestamps.
func carried(c schema.Column, value string) string {
	switch c.Kind {
	case schema.Timestamp:
		value = "CAST(" + value + " AT TIME ZONE 'UTC' AS timestamp)"
	case schema.Datetime:
	default:
		return value
	}
	return "date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', " + value + ")"
}

// from is the base with its lookups.
func (p *plan) from(database, join string) string {
	var b strings.Builder
	b.WriteString(" FROM (" + newest(database, p.base, p.baseColumns()) + ") AS b")
	for i, l := range p.lookups {
		fmt.Fprintf(&b, " %s (%s) AS l%d ON ", join, newest(database, l.table, l.columns()), i)
		for n := range l.keyAt {
			if n > 0 {
				b.WriteString(" AND ")
			}
			fmt.Fprintf(&b, "b.%s = l%d.%s", quoted(p.base.Columns[l.baseAt[n]].Name), i, quoted(l.table.Columns[l.keyAt[n]].Name))
		}
	}
	return b.String()
}

// newest selects columns of a table as of the run: of one day, or the newest row of each key.
func newest(database string, t *asof.Table, at []int) string {
	var columns []string
	for _, i := range slices.Compact(slices.Sorted(slices.Values(at))) {
		columns = append(columns, quoted(t.Columns[i].Name))
	}
	list := strings.Join(columns, ", ")
	if len(t.Days) == 1 {
		return "SELECT " + list + ofDays(database, t)
	}
	var key []string
	for _, name := range t.Key {
		key = append(key, quoted(name))
	}
	const rank = `"newest first"` // no column of MySQL's is called this by chance
	return "SELECT " + list + " FROM (SELECT " + list + ", row_number() OVER (PARTITION BY " + strings.Join(key, ", ") +
		" ORDER BY " + quoted(dayColumn) + " DESC) AS " + rank + ofDays(database, t) + ") WHERE " + rank + " = 1"
}

// ofDays names the table and the days that its markers are of.
func ofDays(database string, t *asof.Table) string {
	var days []string
	for _, day := range t.Days {
		days = append(days, "'"+day.Run.Date()+"'")
	}
	return " FROM " + quoted(database) + "." + quoted(t.Name) + " WHERE " + quoted(dayColumn) + " IN (" + strings.Join(days, ", ") + ")"
}

// countSQL counts, in one row, what counts has fields for, in their order: of the join, of each lookup, of each table.
func (p *plan) countSQL(database string) string {
	var b strings.Builder
	b.WriteString("SELECT * FROM (SELECT count(*) AS base")
	var matched []string
	for i, l := range p.lookups {
		key := fmt.Sprintf("l%d.%s", i, quoted(l.table.Columns[l.keyAt[0]].Name))
		matched = append(matched, key+" IS NOT NULL")
		fmt.Fprintf(&b, ", count(%s) AS matched%d", key, i)
	}
	if matched == nil {
		matched = []string{"true"}
	}
	fmt.Fprintf(&b, ", count(CASE WHEN %s THEN 1 END) AS joined%s) AS j", strings.Join(matched, " AND "), p.from(database, "LEFT JOIN"))
	for i, l := range p.lookups {
		var key, present []string
		for _, at := range l.keyAt {
			name := quoted(l.table.Columns[at].Name)
			key, present = append(key, name), append(present, name+" IS NOT NULL")
		}
		fmt.Fprintf(&b, " CROSS JOIN (SELECT count(*) AS twice%d FROM (SELECT %[2]s FROM (%[3]s) AS t WHERE %[4]s GROUP BY %[2]s HAVING count(*) > 1) AS g) AS d%[1]d",
			i, strings.Join(key, ", "), newest(database, l.table, l.columns()), strings.Join(present, " AND "))
	}
	for i, t := range p.tables() {
		fmt.Fprintf(&b, " CROSS JOIN (SELECT count(*) AS stored%d%s) AS s%[1]d", i, ofDays(database, t))
	}
	return b.String()
}

// tables are the base and the lookups.
func (p *plan) tables() []*asof.Table {
	tables := []*asof.Table{p.base}
	for _, l := range p.lookups {
		tables = append(tables, l.table)
	}
	return tables
}

func quoted(name string) string {
	return `"` + strings.ReplaceAll(strings.ToLower(name), `"`, `""`) + `"`
}
