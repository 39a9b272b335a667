package model

import (
	"context"
	"fmt"
	"iter"

	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/schema"
)

// CooccurrenceColumns are those of cooccurrences.parquet: ascending by item, the strongest of an item first.
func CooccurrenceColumns() []schema.Column {
	return []schema.Column{
		{Name: "item", Kind: schema.String},
		{Name: "other", Kind: schema.String},
		{Name: "strength", Kind: schema.Float},
	}
}

func cooccurrenceRows(t *cooccurrence.Table, ids []string) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		for item := range t.Len() {
			others, strengths := t.Row(item)
			for k, other := range others {
				row := schema.Row{{Bytes: []byte(ids[item])}, {Bytes: []byte(ids[other])}, {Float: float64(strengths[k])}}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Has says whether the artifact has a file that is not in every one.
func (a *Artifact) Has(file string) bool {
	_, listed := a.files[file]
	return listed
}

// Cooccurrences reads which items follow which in sessions; nil if the artifact does not say. number is each item's place among all items
// of the model, ascending by id.
func (a *Artifact) Cooccurrences(ctx context.Context, number map[string]int32) (*cooccurrence.Table, error) {
	f, listed := a.files[CooccurrencesFile]
	if !listed {
		return nil, nil
	}
	var table cooccurrence.Table
	var others []int32
	var strengths []float32
	at := int32(-1)
	// fill ends the item at hand and those without neighbours before the next one.
	fill := func(next int32) error {
		if at < 0 {
			at = 0
		}
		for ; at < next; at++ {
			if err := table.Append(others, strengths); err != nil {
				return err
			}
			others, strengths = others[:0], strengths[:0]
		}
		return nil
	}
	for row, err := range laketable.Screened(ctx, a.store, f, CooccurrenceColumns()) {
		if err == nil {
			item, knownItem := number[string(row[0].Bytes)]
			other, knownOther := number[string(row[1].Bytes)]
			switch {
			case !knownItem || !knownOther:
				err = fmt.Errorf("names item %q or %q, which the model does not have", row[0].Bytes, row[1].Bytes)
			case item < at:
				err = fmt.Errorf("item %q is out of order", row[0].Bytes)
			default:
				err = fill(item)
				others, strengths = append(others, other), append(strengths, float32(row[2].Float))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("model %s: %s: %w", a.Manifest.Version, CooccurrencesFile, err)
		}
	}
	if err := fill(int32(len(number))); err != nil {
		return nil, fmt.Errorf("model %s: %s: %w", a.Manifest.Version, CooccurrencesFile, err)
	}
	return &table, nil
}
