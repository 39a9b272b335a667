// Package recommend turns a model, a user and a session into recommendations. It knows no database and no cloud: the
// stream, the API and the command line answer with the same code.
package recommend

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/foldin"
)

// Catalog is a model's items, column by column, ascending by id.
type Catalog struct {
	IDs, Names []string
	Embeddings []float32 // n×d row-major
	Bias       []float32 // popularity: orders items when nothing is known of the user
	// Stock and Category are the values of the columns that the dataset's recommendations name: "" is NULL. Without such a column they are nil.
	Stock, Category []string
	Together        *cooccurrence.Table // nil if the model was not trained on sessions
	// Ordinals are the items' positions in the whole, ascending, if these are a part of it; nil: they are the whole.
	Ordinals []int32
}

// Model is one version in memory. It is safe for concurrent use.
type Model struct {
	Version string

	encoder     *features.Encoder
	space       *foldin.Space
	weights     foldin.Weights
	hideBought  bool
	ids, names  []string
	bias        []float32
	rows        map[string]int
	soldOut     []bool  // nil: nothing is
	category    []int32 // by row; -1 is none
	perCategory int
	ordinals    []int32                  // of a part, by row
	similar     []atomic.Pointer[[]Near] // the first ListLength of each item, when they have been asked for
}

// NewModel prepares a version for answering by the dataset's rules.
func NewModel(version string, encoder *features.Encoder, c Catalog, shop *dataset.Dataset) (*Model, error) {
	weights := shop.Event.Weights
	m := &Model{
		Version: version, encoder: encoder,
		weights:     foldin.Weights{View: weights.View, Cart: weights.Cart, Quantity: weights.Quantity, Decay: cmp.Or(encoder.Decay, weights.Decay)},
		hideBought:  shop.Recommendations.Hide == dataset.HideBought,
		perCategory: shop.Recommendations.PerCategory.AtMost,
	}
	return m.with(c, func(items foldin.Matrix) (*foldin.Space, error) {
		return foldin.New(foldin.Loss{
			Dimension: encoder.Dimension, Alpha0: encoder.Alpha0, Lambda: encoder.Lambda, Items: encoder.Items, Gramian: encoder.Gramian,
		}, items)
	})
}

// Over is the same version over other items of it. What it recommends is the best of those.
func (m *Model) Over(c Catalog) (*Model, error) { return m.with(c, m.space.Over) }

// with completes a copy of m by its items.
func (m *Model) with(c Catalog, newSpace func(foldin.Matrix) (*foldin.Space, error)) (*Model, error) {
	n := len(c.IDs)
	if n == 0 || len(c.Names) != n || len(c.Bias) != n || len(c.Embeddings) != n*m.encoder.Dimension || c.Stock != nil && len(c.Stock) != n ||
		c.Category != nil && len(c.Category) != n || c.Ordinals != nil && len(c.Ordinals) != n {
		return nil, fmt.Errorf("model %s: %d ids, %d names, %d biases, %d numbers, %d stocks, %d categories and %d ordinals do not make items of dimension %d",
			m.Version, n, len(c.Names), len(c.Bias), len(c.Embeddings), len(c.Stock), len(c.Category), len(c.Ordinals), m.encoder.Dimension)
	}
	matrix, err := foldin.NewMatrix(c.Embeddings, m.encoder.Dimension)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Version, err)
	}
	space, err := newSpace(matrix)
	if err == nil {
		err = space.Blend(c.Together, m.encoder.Blend)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Version, err)
	}
	filled := &Model{
		Version: m.Version, encoder: m.encoder, space: space, weights: m.weights, hideBought: m.hideBought, perCategory: m.perCategory,
		ids: c.IDs, names: c.Names, bias: c.Bias, rows: make(map[string]int, n), ordinals: c.Ordinals,
		soldOut: soldOut(c.Stock), category: categories(c.Category), similar: make([]atomic.Pointer[[]Near], n),
	}
	if filled.category == nil {
		filled.perCategory = 0
	}
	for row, id := range c.IDs {
		filled.rows[id] = row
	}
	return filled, nil
}

// soldOut says of which items a shop has none left; what it does not say, or not in a number, counts as in stock.
func soldOut(stock []string) []bool {
	var list []bool
	for row, text := range stock {
		if x, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && x <= 0 {
			if list == nil {
				list = make([]bool, len(stock))
			}
			list[row] = true
		}
	}
	return list
}

func categories(values []string) []int32 {
	if values == nil {
		return nil
	}
	numbers := map[string]int32{"": -1}
	list := make([]int32, len(values))
	for row, value := range values {
		n, known := numbers[value]
		if !known {
			n = int32(len(numbers))
			numbers[value] = n
		}
		list[row] = n
	}
	return list
}

// Name is an item's name for people.
func (m *Model) Name(id string) (name string, known bool) {
	row, known := m.rows[id]
	if !known {
		return "", false
	}
	return m.names[row], true
}

// session finds the entries that the model knows; a shop sells what last night's model has not seen.
func (m *Model) session(history []event.Entry) []foldin.Weighted {
	entries := make([]foldin.Entry, 0, len(history))
	for _, e := range history {
		if row, known := m.rows[e.Item]; known {
			entries = append(entries, foldin.Entry{Row: row, Quantity: e.Quantity, InCart: e.InCart, Age: e.Age})
		}
	}
	return m.weights.Weigh(entries)
}
