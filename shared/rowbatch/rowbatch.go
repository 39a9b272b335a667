// Package rowbatch holds rows column by column: what the partitioner decodes, sorts, spills and encodes. A value costs its
// bytes and no interface call, where a schema.Value takes 72 bytes and a switch on its kind.
package rowbatch

import (
	"github.com/millrace/millrace/shared/schema"
)

// Form says which of a column's slices hold its values.
type Form uint8

const (
	Integers Form = iota // Int, Uint, Decimal of up to 18 digits, Date, Datetime, Timestamp, Time
	Floats               // Float, Double
	Texts                // String, Bytes, wider Decimal
)

// FormOf is how values of a column are held. A Vector has no form: it is only in model artifacts.
func FormOf(c schema.Column) Form {
	switch {
	case c.Kind == schema.Float, c.Kind == schema.Double:
		return Floats
	case c.Kind == schema.String, c.Kind == schema.Bytes, c.Kind == schema.Decimal && c.Precision > schema.MaxInt64Digits:
		return Texts
	}
	return Integers
}

// Column is the values of one column. A NULL has a place like any other value, whose content means nothing.
type Column struct {
	schema.Column
	Form   Form
	Nulls  []bool // per row if the column is nullable, else empty
	Ints   []int64
	Floats []float64
	Data   []byte   // the texts, one after another
	Ends   []uint32 // where each text ends in Data
}

// Batch is some rows of a table.
type Batch struct {
	Columns []Column
	rows    int
}

// New makes an empty batch. Columns of kind Vector are not held.
func New(cols []schema.Column) *Batch {
	b := &Batch{Columns: make([]Column, len(cols))}
	for i, c := range cols {
		b.Columns[i] = Column{Column: c, Form: FormOf(c)}
	}
	return b
}

// Len is the number of rows.
func (b *Batch) Len() int { return b.rows }

// SetLen says how many rows there are after the columns were appended to one by one.
func (b *Batch) SetLen(rows int) { b.rows = rows }

// Reset forgets the rows and keeps the memory.
func (b *Batch) Reset() {
	for i := range b.Columns {
		c := &b.Columns[i]
		c.Nulls, c.Ints, c.Floats, c.Data, c.Ends = c.Nulls[:0], c.Ints[:0], c.Floats[:0], c.Data[:0], c.Ends[:0]
	}
	b.rows = 0
}

// Size is how many bytes the rows take in memory.
func (b *Batch) Size() (size int) {
	for i := range b.Columns {
		c := &b.Columns[i]
		size += len(c.Nulls) + 8*len(c.Ints) + 8*len(c.Floats) + len(c.Data) + 4*len(c.Ends)
	}
	return size
}

// Text is the i-th value of a column of form Texts, valid while the batch is.
func (c *Column) Text(i int) []byte {
	if i == 0 {
		return c.Data[:c.Ends[0]]
	}
	return c.Data[c.Ends[i-1]:c.Ends[i]]
}

// Null tells whether the i-th value is NULL.
func (c *Column) Null(i int) bool { return c.Nullable && c.Nulls[i] }

// Value is the i-th value; its bytes are valid while the batch is.
func (c *Column) Value(i int) (v schema.Value) {
	if c.Null(i) {
		v.Null = true
		return v
	}
	switch c.Form {
	case Integers:
		v.Int = c.Ints[i]
	case Floats:
		v.Float = c.Floats[i]
	default:
		v.Bytes = c.Text(i)
	}
	return v
}

// Append adds one value, which is copied.
func (c *Column) Append(v schema.Value) {
	if c.Nullable {
		c.Nulls = append(c.Nulls, v.Null)
	}
	switch c.Form {
	case Integers:
		c.Ints = append(c.Ints, v.Int)
	case Floats:
		c.Floats = append(c.Floats, v.Float)
	default:
		if !v.Null {
			c.Data = append(c.Data, v.Bytes...)
		}
		c.Ends = append(c.Ends, uint32(len(c.Data)))
	}
}

// Append adds one row, which is copied.
func (b *Batch) Append(row schema.Row) {
	for i := range b.Columns {
		b.Columns[i].Append(row[i])
	}
	b.rows++
}

// Row shows the i-th row in row's memory; it is valid while the batch is.
func (b *Batch) Row(i int, row schema.Row) schema.Row {
	row = row[:0]
	for k := range b.Columns {
		row = append(row, b.Columns[k].Value(i))
	}
	return row
}

// AppendRange adds the rows [from, to) of a batch of the same columns.
func (b *Batch) AppendRange(src *Batch, from, to int) {
	for i := range b.Columns {
		b.Columns[i].AppendRange(&src.Columns[i], from, to)
	}
	b.rows += to - from
}

// AppendRange adds the values [from, to) of a column of the same form.
func (c *Column) AppendRange(src *Column, from, to int) {
	if from == to {
		return
	}
	if c.Nullable {
		c.Nulls = append(c.Nulls, src.Nulls[from:to]...)
	}
	switch c.Form {
	case Integers:
		c.Ints = append(c.Ints, src.Ints[from:to]...)
	case Floats:
		c.Floats = append(c.Floats, src.Floats[from:to]...)
	default:
		start := uint32(0)
		if from > 0 {
			start = src.Ends[from-1]
		}
		shift := uint32(len(c.Data)) - start
		c.Data = append(c.Data, src.Data[start:src.Ends[to-1]]...)
		for _, end := range src.Ends[from:to] {
			c.Ends = append(c.Ends, end+shift)
		}
	}
}

// AppendAt adds the values at these positions, in their order.
func (c *Column) AppendAt(src *Column, at []uint32) {
	if c.Nullable {
		for _, i := range at {
			c.Nulls = append(c.Nulls, src.Nulls[i])
		}
	}
	switch c.Form {
	case Integers:
		for _, i := range at {
			c.Ints = append(c.Ints, src.Ints[i])
		}
	case Floats:
		for _, i := range at {
			c.Floats = append(c.Floats, src.Floats[i])
		}
	default:
		for _, i := range at {
			c.Data = append(c.Data, src.Text(int(i))...)
			c.Ends = append(c.Ends, uint32(len(c.Data)))
		}
	}
}
