// Package recommend turns a model, a user and a session into recommendations. It knows no database and no cloud: the
// stream, the API and the command line answer with the same code.
package recommend

import (
	"fmt"

	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/foldin"
)

// Catalog is a model's items, column by column, ascending by id.
type Catalog struct {
	IDs, Names []string
	Embeddings []float32 // n×d row-major
	Bias       []float32 // popularity: orders items when nothing is known of the user
}

// Model is one version in memory. It is safe for concurrent use.
type Model struct {
	Version string

	encoder *features.Encoder
	space   *foldin.Space
	catalog Catalog
	rows    map[string]int
}

// NewModel prepares a version for answering.
func NewModel(version string, encoder *features.Encoder, c Catalog) (*Model, error) {
	n := len(c.IDs)
	if n == 0 || len(c.Names) != n || len(c.Bias) != n || len(c.Embeddings) != n*encoder.Dimension {
		return nil, fmt.Errorf("model %s: %d ids, %d names, %d biases and %d numbers do not make items of dimension %d",
			version, n, len(c.Names), len(c.Bias), len(c.Embeddings), encoder.Dimension)
	}
	matrix, err := foldin.NewMatrix(c.Embeddings, encoder.Dimension)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", version, err)
	}
	space, err := foldin.New(foldin.Loss{
		Dimension: encoder.Dimension, Alpha0: encoder.Alpha0, Lambda: encoder.Lambda, Items: encoder.Items, Gramian: encoder.Gramian,
	}, matrix)
	if err == nil {
		// A session only adds to the system: if it can be solved without one, it can be solved with any.
		_, err = space.Fold(encoder.MeanUser, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", version, err)
	}
	m := &Model{Version: version, encoder: encoder, space: space, catalog: c, rows: make(map[string]int, n)}
	for row, id := range c.IDs {
		m.rows[id] = row
	}
	return m, nil
}

// Name is an item's name for people.
func (m *Model) Name(id string) (name string, known bool) {
	row, known := m.rows[id]
	if !known {
		return "", false
	}
	return m.catalog.Names[row], true
}

// session finds the entries that the model knows; a shop sells what last night's model has not seen.
func (m *Model) session(history []event.Entry) []foldin.Weighted {
	var entries []foldin.Entry
	for _, e := range history {
		if row, known := m.rows[e.Item]; known {
			entries = append(entries, foldin.Entry{Row: row, Quantity: e.Quantity, InCart: e.InCart})
		}
	}
	return foldin.Weigh(entries)
}
