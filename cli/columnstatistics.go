package main

import (
	"bytes"
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/schema"
)

// columnStatistics is a column with what its values are, found by reading them: what a footer
// says of them is its writer's word.
type columnStatistics struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Nullable bool    `json:"nullable"`
	Source   string  `json:"source,omitempty"` // the type in the database
	Nulls    int64   `json:"nulls"`
	Min      *string `json:"min,omitempty"` // absent where there is no value; bytes are base64
	Max      *string `json:"max,omitempty"`

	column         schema.Column
	order          []byte
	least, highest extreme
}

// extreme is a value with the bytes that order it.
type extreme struct {
	order []byte
	value schema.Value
}

func newColumnStatistics(c schema.Column) columnStatistics {
	return columnStatistics{Name: c.Name, Type: exactType(c), Nullable: c.Nullable, Source: c.Source, column: c}
}

// add counts one value.
func (s *columnStatistics) add(v schema.Value) {
	switch {
	case v.Null:
		s.Nulls++
		return
	case s.column.Kind == schema.Vector, math.IsNaN(v.Float): // these have no order
		return
	}
	s.order = schema.AppendOrdered(s.order[:0], s.column, v)
	if s.least.order == nil || bytes.Compare(s.order, s.least.order) < 0 {
		s.least.keep(s.order, v)
	}
	if s.highest.order == nil || bytes.Compare(s.order, s.highest.order) > 0 {
		s.highest.keep(s.order, v)
	}
}

func (e *extreme) keep(order []byte, v schema.Value) {
	e.order = append(e.order[:0], order...)
	e.value = schema.Row{v}.Clone()[0]
}

// finish fills in the least and the greatest value.
func (s *columnStatistics) finish() {
	if s.least.order != nil {
		least, highest := schema.Text(s.column, s.least.value), schema.Text(s.column, s.highest.value)
		s.Min, s.Max = &least, &highest
	}
}

// exactType is a column's type in the lake with all its figures.
func exactType(c schema.Column) string {
	switch c.Kind {
	case schema.Int, schema.Uint:
		return fmt.Sprintf("%s%d", c.Kind, c.Bits)
	case schema.Decimal:
		return fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
	case schema.Datetime, schema.Timestamp, schema.Time:
		return fmt.Sprintf("%s(%d)", c.Kind, c.Fraction)
	}
	return string(c.Kind)
}

// typeOf tells also whether there may be NULLs.
func typeOf(c schema.Column) string {
	if c.Nullable {
		return exactType(c) + " null"
	}
	return exactType(c)
}
