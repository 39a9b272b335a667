package train

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Columns names the columns of a file of interactions.
type Columns struct {
	User, Item string
	Weight     string // "": every row weighs 1
	Time       string // "": no time
}

// FileError says where in a file something is wrong. Column is a name; Line counts from 1 and is a row in a Parquet file.
type FileError struct {
	File   string
	Line   int
	Column string
	Err    error
}

func (e *FileError) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Column != "" {
		where += ": column " + e.Column
	}
	return where + ": " + e.Err.Error()
}

func (e *FileError) Unwrap() error { return e.Err }

// ReadFile reads interactions from a .csv, .tsv or .parquet file; the first line of the text formats names the columns.
// A .csv file quotes as RFC 4180 says; a .tsv file quotes nothing. Text is UTF-8. Errors are *FileError.
func ReadFile(path string, columns Columns) (*Interactions, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines lineReader
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".csv":
		lines = newCSV(f)
	case ".tsv":
		lines = &tsv{lines: bufio.NewReaderSize(f, 1<<16)}
	case ".parquet":
		return readParquet(f, columns)
	default:
		return nil, &FileError{File: path, Err: fmt.Errorf("extension %q: want .csv, .tsv or .parquet", extension)}
	}
	x, err := readLines(lines, columns)
	var where *FileError
	if errors.As(err, &where) {
		where.File = path
	}
	return x, err
}

// lineReader gives fields line by line; the slice is valid until the next call. io.EOF ends it.
type lineReader interface {
	next() (fields []string, line int, err error)
}

func readLines(lines lineReader, columns Columns) (*Interactions, error) {
	header, line, err := lines.next()
	if errors.Is(err, io.EOF) {
		return nil, &FileError{Err: errors.New("is empty: the first line must name the columns")}
	} else if err != nil {
		return nil, &FileError{Line: line, Err: err}
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // the byte order mark that spreadsheets write
	at, err := columns.positions(header)
	if err != nil {
		return nil, &FileError{Line: line, Err: err}
	}
	x := &Interactions{}
	for {
		fields, line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err == nil && len(fields) != len(header) {
			err = fmt.Errorf("has %d fields, the first line has %d: is the file cut off?", len(fields), len(header))
		}
		if err != nil {
			return nil, &FileError{Line: line, Err: err}
		}
		if column, err := addText(x, columns, at, fields); err != nil {
			return nil, &FileError{Line: line, Column: column, Err: err}
		}
	}
}

// positions finds user, item, weight and time in a header; -1 for a column nobody asked for.
func (c Columns) positions(header []string) ([4]int, error) {
	at := [4]int{-1, -1, -1, -1}
	for n, role := range []struct{ name, column string }{{"user", c.User}, {"item", c.Item}, {"weight", c.Weight}, {"time", c.Time}} {
		if role.column == "" && n >= 2 {
			continue
		}
		if at[n] = slices.Index(header, role.column); at[n] < 0 {
			return at, fmt.Errorf("no column %q, there are %s: say which one holds the %s (--%[3]s-column)", role.column, strings.Join(header, ", "), role.name)
		}
	}
	return at, nil
}

func addText(x *Interactions, columns Columns, at [4]int, fields []string) (column string, err error) {
	for n, name := range []string{columns.User, columns.Item} {
		if fields[at[n]] == "" {
			return name, errors.New("is empty")
		}
	}
	weight := 1.0
	if at[2] >= 0 {
		text := fields[at[2]]
		if text == "" { // NULL
			x.Skip()
			return "", nil
		}
		if weight, err = strconv.ParseFloat(text, 64); err != nil {
			return columns.Weight, fmt.Errorf("%q is not a number", text)
		}
	}
	user, item := fields[at[0]], fields[at[1]]
	if at[3] < 0 {
		return columns.Weight, x.Add(user, item, weight)
	}
	when, err := parseTime(fields[at[3]])
	if err != nil {
		return columns.Time, err
	}
	return columns.Weight, x.AddAt(user, item, weight, when)
}

// parseTime reads a number in any unit, or a date with or without time of day, as microseconds since 1970. All times of
// a file must be written the same way.
func parseTime(text string) (int64, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return int64(n * 1e6), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("%q is neither a number nor a time such as 2026-11-22T02:00:00Z, 2026-11-22 02:00:00 or 2026-11-22", text)
}

type csvLines struct{ *csv.Reader }

func newCSV(r io.Reader) csvLines {
	c := csvLines{csv.NewReader(bufio.NewReaderSize(r, 1<<16))}
	c.ReuseRecord, c.FieldsPerRecord = true, -1
	return c
}

func (c csvLines) next() ([]string, int, error) {
	fields, err := c.Read()
	var where *csv.ParseError
	if errors.As(err, &where) {
		return nil, where.Line, where.Err
	}
	if err != nil {
		return nil, 0, err
	}
	line, _ := c.FieldPos(0)
	return fields, line, nil
}

type tsv struct {
	lines *bufio.Reader
	line  int
}

func (t *tsv) next() ([]string, int, error) {
	for {
		text, err := t.lines.ReadString('\n')
		if text == "" && err != nil {
			return nil, t.line + 1, err
		}
		t.line++
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, t.line, err
		}
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			continue // as encoding/csv does
		}
		return strings.Split(text, "\t"), t.line, nil
	}
}

var _, _ lineReader = csvLines{}, (*tsv)(nil)
