package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/shared/embedding"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/schema"
)

// EntityColumns are those of items.parquet and users.parquet. features is a JSON object of the raw values as text.
func EntityColumns() []schema.Column {
	return []schema.Column{
		{Name: "id", Kind: schema.String},
		{Name: "name", Kind: schema.String},
		{Name: "embedding", Kind: schema.Vector},
		{Name: "bias", Kind: schema.Float},
		{Name: "cold", Kind: schema.Int, Bits: 8}, // 1 or 0
		{Name: "features", Kind: schema.String},
	}
}

// SeenColumns are those of interactions.parquet.
func SeenColumns() []schema.Column {
	return []schema.Column{
		{Name: "user", Kind: schema.String},
		{Name: "item", Kind: schema.String},
		{Name: "weight", Kind: schema.Float},
	}
}

func (e Entity) row() (schema.Row, error) {
	record := e.Features
	if record == nil {
		record = features.Record{}
	}
	text, err := json.Marshal(record) // in the order of the names
	if err != nil {
		return nil, fmt.Errorf("features of %q: %w", e.ID, err)
	}
	var cold int64
	if e.Cold {
		cold = 1
	}
	return schema.Row{
		{Bytes: []byte(e.ID)}, {Bytes: []byte(e.Name)}, {Vector: e.Embedding}, {Float: float64(e.Bias)}, {Int: cold}, {Bytes: text},
	}, nil
}

// entity reads a row back; the result keeps nothing of the row.
func entity(row schema.Row) (Entity, error) {
	e := Entity{
		ID: string(row[0].Bytes), Name: string(row[1].Bytes), Embedding: append([]float32(nil), row[2].Vector...),
		Bias: float32(row[3].Float), Cold: row[4].Int != 0,
	}
	if err := json.Unmarshal(row[5].Bytes, &e.Features); err != nil {
		return Entity{}, fmt.Errorf("id %q: features: %w", e.ID, err)
	}
	return e, nil
}

// check looks at an entity after the one with the id last, of a model of this dimension.
func (e *Entity) check(last string, dimension int) error {
	switch {
	case e.ID == "":
		return errors.New("an id is empty")
	case e.ID == last:
		return fmt.Errorf("id %q is there twice", e.ID)
	case e.ID < last:
		return fmt.Errorf("id %q after %q: ids must ascend", e.ID, last)
	case !utf8.ValidString(e.ID+e.Name) || strings.Contains(e.ID+e.Name, "\x00"):
		return fmt.Errorf("id %q, named %q: want UTF-8 without U+0000", e.ID, e.Name)
	}
	if len(e.Embedding) != dimension {
		return fmt.Errorf("id %q has an embedding of %d numbers, the manifest says %d", e.ID, len(e.Embedding), dimension)
	}
	if err := embedding.Check(e.Embedding); err != nil {
		return fmt.Errorf("id %q has %w", e.ID, err)
	}
	if bias := float64(e.Bias); math.IsNaN(bias) || math.IsInf(bias, 0) {
		return fmt.Errorf("id %q has bias %v, want a finite number", e.ID, bias)
	}
	return nil
}
