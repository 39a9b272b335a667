package parquetfile

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/shared/schema"
)

// vectorValues is how many values are decoded at a time; values take 24 bytes.
const vectorValues = 1024

// vectors walks the lists of float32 of one column of a row group: value by value, since they are only in model artifacts.
type vectors struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer []parquet.Value
	ahead  []parquet.Value // of buffer: read, not consumed
	vector []float32
	// emptyLevel is the definition level of an empty list; below it the list itself is NULL.
	emptyLevel int
}

// peek returns the next value without consuming it, or io.EOF at the end of the chunk.
func (c *vectors) peek() (parquet.Value, error) {
	for len(c.ahead) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		if c.buffer == nil {
			c.buffer = make([]parquet.Value, vectorValues)
		}
		n, err := c.values.ReadValues(c.buffer)
		c.ahead = c.buffer[:n]
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			// the page is released once its values are consumed: they refer to its memory
		case errors.Is(err, io.EOF):
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		case err == nil && n == 0:
			return parquet.Value{}, io.ErrNoProgress
		case err != nil:
			return parquet.Value{}, err
		}
	}
	return c.ahead[0], nil
}

// next reads one row's list: its first element, and those that follow in the same row (repetition level 1).
func (c *vectors) next(into *schema.Value) error {
	v, err := c.peek()
	if errors.Is(err, io.EOF) {
		return errors.New("it has fewer values than rows: the file is damaged")
	} else if err != nil {
		return err
	}
	c.ahead = c.ahead[1:]
	c.vector = c.vector[:0]
	if v.IsNull() {
		if v.DefinitionLevel() != c.emptyLevel {
			return errors.New("a vector has a NULL element, or is NULL: write a number for each dimension")
		}
		*into = schema.Value{Vector: c.vector}
		return nil
	}
	for {
		c.vector = append(c.vector, v.Float())
		var err error
		if v, err = c.peek(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil || v.RepetitionLevel() == 0 {
			*into = schema.Value{Vector: c.vector}
			return nil
		}
		if v.IsNull() {
			return errors.New("a vector has a NULL element: write a number for each dimension")
		}
		c.ahead = c.ahead[1:]
	}
}

// end checks that the chunk has no more values than the rows that were read.
func (c *vectors) end() error {
	if c.pages == nil {
		return nil
	}
	if _, err := c.peek(); err == nil {
		return errors.New("it has more values than rows: the file is damaged")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return c.close()
}

func (c *vectors) close() error {
	if c.pages == nil {
		return nil
	}
	parquet.Release(c.page)
	err := c.pages.Close()
	c.pages, c.page, c.values, c.ahead = nil, nil, nil, nil
	return err
}
