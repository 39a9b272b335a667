package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// chunk reads one column of a row group, page by page. Typed slices of the library's pages are copied as a whole;
// a parquet.Value for each cell would take twice the time of all the rest.
type chunk struct {
	leaf  leaf
	pages parquet.Pages
	page  parquet.Page

	levels  []byte  // of the page, per row: 0 is NULL; nil: the column is NOT NULL
	left    int     // rows of the page not read yet
	values  values  // of the page, or of its dictionary
	indexes []int32 // nil: the page's values are its own
	next    int     // value, or index
	known   parquet.Dictionary
	entries values // of known
}

// values are a page's, one of these.
type values struct {
	ints32  []int32
	ints64  []int64
	floats  []float32
	doubles []float64
	bits    []byte // booleans
	data    []byte // texts
	offsets []uint32
	width   int // of each in data, if they have no offsets
}

func valuesOf(v encoding.Values) (out values, err error) {
	switch v.Kind() {
	case encoding.Int32:
		out.ints32 = v.Int32()
	case encoding.Int64:
		out.ints64 = v.Int64()
	case encoding.Float:
		out.floats = v.Float()
	case encoding.Double:
		out.doubles = v.Double()
	case encoding.Boolean:
		out.bits = v.Boolean()
	case encoding.ByteArray:
		out.data, out.offsets = v.ByteArray()
	case encoding.FixedLenByteArray:
		out.data, out.width = v.FixedLenByteArray()
	default:
		return out, fmt.Errorf("values of type %s are not read", v.Kind())
	}
	return out, nil
}

// text is the i-th value of a type that is bytes.
func (v *values) text(i int) []byte {
	if v.offsets != nil {
		return v.data[v.offsets[i]:v.offsets[i+1]]
	}
	return v.data[i*v.width : (i+1)*v.width]
}

// open begins the column's chunk of a row group.
func (c *chunk) open(pages parquet.Pages) { *c = chunk{leaf: c.leaf, pages: pages} }

// ready reads the next page if there is no row left of this one.
func (c *chunk) ready() error {
	for c.left == 0 {
		if err := c.nextPage(); errors.Is(err, io.EOF) {
			return errors.New("it has fewer values than rows: the file is damaged")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// read appends the values of the page's next n rows.
func (c *chunk) read(into *rowbatch.Column, n int) error {
	c.left -= n
	return c.copy(into, n)
}

func (c *chunk) nextPage() error {
	c.release()
	page, err := c.pages.ReadPage()
	if err != nil {
		return err
	}
	c.page, c.left, c.next, c.indexes, c.levels = page, int(page.NumRows()), 0, nil, nil
	if c.leaf.column.Nullable {
		c.levels = page.DefinitionLevels()
		if len(c.levels) != c.left {
			return errors.New("a page has not one definition level for each row: the file is damaged")
		}
	} else if page.NumNulls() > 0 {
		return errors.New("NULL in a column that is NOT NULL")
	}
	data := page.Data()
	if dictionary := page.Dictionary(); dictionary != nil {
		c.indexes = data.Int32()
		if dictionary != c.known {
			entries := dictionary.Page().Data()
			if c.entries, err = valuesOf(entries); err != nil {
				return err
			}
			c.known = dictionary
		}
		c.values = c.entries
		return nil
	}
	c.values, err = valuesOf(data)
	return err
}

// copy appends the next rows of the page.
func (c *chunk) copy(into *rowbatch.Column, rows int) error {
	from := len(into.Ints) + len(into.Floats) + len(into.Ends) // one of them is used
	present := rows
	if c.levels != nil {
		levels := c.levels[:rows]
		c.levels = c.levels[rows:]
		for _, level := range levels {
			into.Nulls = append(into.Nulls, level == 0)
			if level == 0 {
				present--
			}
		}
	}
	var err error
	switch into.Form {
	case rowbatch.Integers:
		into.Ints, err = c.integers(into.Ints, present)
	case rowbatch.Floats:
		into.Floats, err = c.floats(into.Floats, present)
	default:
		err = c.texts(into, present)
	}
	if err == nil && present < rows {
		spread(into, from, present, rows)
	}
	return err
}

// spread moves values that were appended without gaps to their rows.
func spread(c *rowbatch.Column, from, present, rows int) {
	nulls := c.Nulls[len(c.Nulls)-rows:]
	switch c.Form {
	case rowbatch.Integers:
		c.Ints = spreadValues(c.Ints, nulls, from, present)
	case rowbatch.Floats:
		c.Floats = spreadValues(c.Floats, nulls, from, present)
	default:
		// Where a text ends is also where the NULLs after it end.
		for range rows - present {
			c.Ends = append(c.Ends, 0)
		}
		read := from + present
		for i := rows - 1; i >= 0; i-- {
			switch {
			case !nulls[i]:
				read--
				c.Ends[from+i] = c.Ends[read]
			case read > 0:
				c.Ends[from+i] = c.Ends[read-1]
			default:
				c.Ends[from+i] = 0
			}
		}
	}
}

func spreadValues[T int64 | float64](list []T, nulls []bool, from, present int) []T {
	for range len(nulls) - present {
		list = append(list, 0)
	}
	read := from + present
	for i := len(nulls) - 1; i >= 0; i-- {
		if nulls[i] {
			list[from+i] = 0
			continue
		}
		read--
		list[from+i] = list[read]
	}
	return list
}

var errFewValues = errors.New("a page has fewer values than rows: the file is damaged")

// take tells which values, or indexes, the next n are.
func (c *chunk) take(n, there int) (from int, err error) {
	if c.indexes != nil {
		there = len(c.indexes)
	}
	if c.next+n > there {
		return 0, errFewValues
	}
	from = c.next
	c.next += n
	return from, nil
}

// gather appends n values of list, through the indexes if there are any.
func gather[T, V any](c *chunk, dst []V, list []T, n int, convert func(T) V) ([]V, error) {
	from, err := c.take(n, len(list))
	if err != nil {
		return dst, err
	}
	if c.indexes != nil {
		for _, i := range c.indexes[from : from+n] {
			dst = append(dst, convert(list[i]))
		}
		return dst, nil
	}
	for _, v := range list[from : from+n] {
		dst = append(dst, convert(v))
	}
	return dst, nil
}

func (c *chunk) integers(dst []int64, n int) ([]int64, error) {
	from := len(dst)
	var err error
	switch v := &c.values; {
	case v.ints32 != nil && c.leaf.column.Kind == schema.Uint: // from elsewhere: ours are never negative
		dst, err = gather(c, dst, v.ints32, n, func(x int32) int64 { return int64(uint32(x)) })
	case v.ints32 != nil:
		dst, err = gather(c, dst, v.ints32, n, func(x int32) int64 { return int64(x) })
	case v.ints64 != nil && c.indexes == nil:
		var at int
		if at, err = c.take(n, len(v.ints64)); err == nil {
			dst = append(dst, v.ints64[at:at+n]...)
		}
	case v.ints64 != nil:
		dst, err = gather(c, dst, v.ints64, n, func(x int64) int64 { return x })
	case v.bits != nil:
		at, err := c.take(n, 8*len(v.bits))
		if err != nil {
			return dst, err
		}
		for i := at; i < at+n; i++ {
			dst = append(dst, int64(v.bits[i/8]>>(i%8)&1))
		}
	default:
		err = c.eachText(n, func(text []byte) error {
			x, err := integerOf(text, c.leaf.column.Kind == schema.Uint)
			dst = append(dst, x)
			return err
		})
	}
	if err != nil {
		return dst, err
	}
	return dst, c.leaf.unit.toMicros(dst[from:])
}

func (c *chunk) floats(dst []float64, n int) ([]float64, error) {
	if c.values.floats != nil {
		return gather(c, dst, c.values.floats, n, func(x float32) float64 { return float64(x) })
	}
	return gather(c, dst, c.values.doubles, n, func(x float64) float64 { return x })
}

func (c *chunk) texts(into *rowbatch.Column, n int) error {
	add := func(b ...byte) { into.Data = append(into.Data, b...) }
	end := func() { into.Ends = append(into.Ends, uint32(len(into.Data))) }
	switch v := &c.values; {
	case v.ints32 != nil || v.ints64 != nil: // a decimal of more digits than its storage has
		var wide []int64
		wide, err := c.integers(nil, n)
		for _, x := range wide {
			add(binary.BigEndian.AppendUint64(nil, uint64(x))...)
			end()
		}
		return err
	case c.leaf.uuid:
		return c.eachText(n, func(text []byte) error {
			add(fmt.Appendf(nil, "%x-%x-%x-%x-%x", text[:4], text[4:6], text[6:8], text[8:10], text[10:])...)
			end()
			return nil
		})
	}
	return c.eachText(n, func(text []byte) error {
		into.Data = append(into.Data, text...)
		into.Ends = append(into.Ends, uint32(len(into.Data)))
		return nil
	})
}

func (c *chunk) eachText(n int, do func([]byte) error) error {
	there := len(c.values.offsets) - 1
	if c.values.offsets == nil && c.values.width > 0 {
		there = len(c.values.data) / c.values.width
	}
	from, err := c.take(n, there)
	if err != nil {
		return err
	}
	for i := from; i < from+n; i++ {
		at := i
		if c.indexes != nil {
			at = int(c.indexes[i])
		}
		if err := do(c.values.text(at)); err != nil {
			return err
		}
	}
	return nil
}

// integerOf reads big-endian two's complement, of which 64 bits must be all; of an unsigned one they are all digits.
func integerOf(b []byte, unsigned bool) (int64, error) {
	n := schema.Unscaled(b)
	if unsigned && n.IsUint64() {
		return int64(n.Uint64()), nil
	}
	if unsigned || !n.IsInt64() {
		return 0, errors.New("a decimal has more digits than its type")
	}
	return n.Int64(), nil
}

// unit is what an integer of a time counts.
type unit int64

const (
	micros unit = iota // or no time at all
	millis
	nanos
)

func (u unit) toMicros(list []int64) error {
	switch u {
	case millis:
		for i, v := range list {
			if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
				return fmt.Errorf("%d milliseconds are more than 64 bits of microseconds", v)
			}
			list[i] = v * 1000
		}
	case nanos:
		for i, v := range list {
			if v%1000 != 0 {
				return fmt.Errorf("%d nanoseconds are not whole microseconds: write the column as TIMESTAMP(MICROS)", v)
			}
			list[i] = v / 1000
		}
	}
	return nil
}

// end checks that the chunk has no more values than the rows that were read.
func (c *chunk) end() error {
	if c.pages == nil {
		return nil
	}
	if c.left > 0 {
		return errors.New("it has more values than rows: the file is damaged")
	}
	if err := c.nextPage(); err == nil {
		return errors.New("it has more values than rows: the file is damaged")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return c.close()
}

func (c *chunk) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
}

func (c *chunk) close() error {
	if c.pages == nil {
		return nil
	}
	c.release()
	err := c.pages.Close()
	c.open(nil)
	return err
}
