// Package features turns what is known of a user or an item besides its interactions (city, product line, price) into an
// embedding: one encoding, fitted by the trainer and read from encoder.json by everything that serves.
// It reads and writes no Parquet, so a streaming function can link it.
package features

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kinds of a field.
const (
	Category   = "category"   // one-hot
	Categories = "categories" // several of them, in one text with a separator: multi-hot
	Number     = "number"     // standardised
)

// Field is a feature to fit.
type Field struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Separator string `json:"separator,omitempty"` // of Categories: what stands between two of them
}

// values are the categories that a text names, normalised, each once.
func (f Field) values(text string) []string {
	if f.Kind == Category {
		return []string{normal(text)}
	}
	var list []string
	for _, part := range strings.Split(text, f.Separator) {
		if value := normal(part); value != "" && !slices.Contains(list, value) {
			list = append(list, value)
		}
	}
	return list
}

// Record holds raw values as text by field name: a number as its decimal text. An absent field is unknown (NULL).
type Record map[string]string

// FieldEncoding is one fitted field. Its positions in the encoded vector follow those of the field before it:
// for categories one for each of Categories and then `other`, for a number one.
type FieldEncoding struct {
	Field
	Categories []string `json:"categories,omitempty"` // ascending
	Mean       float64  `json:"mean,omitempty"`
	Deviation  float64  `json:"deviation,omitempty"` // > 0 for a number
}

// Encoding maps a record to a sparse vector. Position 0 is the constant 1.
type Encoding struct {
	Fields []FieldEncoding `json:"fields"`
}

// maxCategories bounds a field's positions, the most frequent first: the regression's cost grows with the cube of the width.
const maxCategories = 256

// minRecords is how many records must share a category before it gets a position: one record alone would only
// be memorised. The rest become `other`.
const minRecords = 2

// clamp bounds a standardised number, so that an absurd value in an event cannot dominate everything else.
const clamp = 4

// ErrNotANumber says that a value of a number field cannot be read.
var ErrNotANumber = errors.New("not a finite number")

// FitEncoding learns categories, means and deviations from records. A category field that has nothing in common
// between records still has `other`; a number that never varies encodes as 0.
func FitEncoding(fields []Field, records []Record) (Encoding, error) {
	var e Encoding
	for _, f := range fields {
		fitted := FieldEncoding{Field: f}
		switch f.Kind {
		case Category, Categories:
			if f.Kind == Categories && f.Separator == "" {
				return Encoding{}, fmt.Errorf("feature %s: kind %s needs a separator", f.Name, f.Kind)
			}
			fitted.Categories = frequentCategories(f, records)
		case Number:
			var err error
			if fitted.Mean, fitted.Deviation, err = meanAndDeviation(f.Name, records); err != nil {
				return Encoding{}, err
			}
		default:
			return Encoding{}, fmt.Errorf("feature %s: kind %q, want %s, %s or %s", f.Name, f.Kind, Category, Categories, Number)
		}
		e.Fields = append(e.Fields, fitted)
	}
	return e, nil
}

func frequentCategories(f Field, records []Record) []string {
	counts := map[string]int{}
	for _, r := range records {
		if text, known := r[f.Name]; known {
			for _, value := range f.values(text) {
				counts[value]++
			}
		}
	}
	var categories []string
	for value, n := range counts {
		if n >= minRecords {
			categories = append(categories, value)
		}
	}
	slices.SortFunc(categories, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	categories = categories[:min(len(categories), maxCategories)]
	slices.Sort(categories)
	return categories
}

func meanAndDeviation(name string, records []Record) (mean, deviation float64, err error) {
	var n, squares float64 // Welford's running mean and sum of squares: no cancellation for large numbers
	for _, r := range records {
		text, known := r[name]
		if !known {
			continue
		}
		x, err := number(text)
		if err != nil {
			return 0, 0, fmt.Errorf("feature %s: value %q: %w", name, text, err)
		}
		n++
		d := x - mean
		mean += d / n
		squares += d * (x - mean)
	}
	if n == 0 || squares == 0 {
		return mean, 1, nil
	}
	return mean, math.Sqrt(squares / n), nil
}

func number(text string) (float64, error) {
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, ErrNotANumber
	}
	return x, nil
}

// normal makes "NYC " and "nyc" one category: events are typed by people and other systems.
func normal(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

// Width is the length of an encoded vector.
func (e Encoding) Width() int {
	width := 1
	for _, f := range e.Fields {
		width += f.width()
	}
	return width
}

func (f FieldEncoding) width() int {
	if f.Kind == Number {
		return 1
	}
	return len(f.Categories) + 1
}

// positions are those of a text's categories among the field's, ascending; that of `other` last, if one is unknown or there is none.
func (f FieldEncoding) positions(text string, known bool) []int {
	other := len(f.Categories)
	var list []int
	if known {
		for _, value := range f.values(text) {
			at, found := slices.BinarySearch(f.Categories, value)
			if !found {
				at = other
			}
			list = append(list, at)
		}
	}
	if list == nil {
		return []int{other}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Term is one non-zero position of an encoded vector.
type Term struct {
	Position int
	Value    float64
}

// Encode returns the non-zero positions of r, ascending. It accepts any record: an unknown, absent or unreadable
// category counts as `other`, such a number as the mean; fields the encoding does not know are ignored.
func (e Encoding) Encode(r Record) []Term {
	terms := append(make([]Term, 0, 1+len(e.Fields)), Term{Position: 0, Value: 1})
	from := 1
	for _, f := range e.Fields {
		text, known := r[f.Name]
		switch f.Kind {
		case Category, Categories:
			for _, at := range f.positions(text, known) {
				terms = append(terms, Term{Position: from + at, Value: 1})
			}
		case Number:
			if x, err := number(text); known && err == nil {
				if z := min(clamp, max(-clamp, (x-f.Mean)/f.Deviation)); z != 0 {
					terms = append(terms, Term{Position: from, Value: z})
				}
			}
		}
		from += f.width()
	}
	return terms
}
