package vectorstore

import (
	"fmt"
	"iter"
	"math"

	"github.com/millrace/millrace/shared/embedding"
)

const (
	// A B-tree entry holds some 2,700 bytes; ids are its key.
	maxID = 1024
	// A name is for people.
	maxName = 64 << 10
)

// checked ends a sequence at the first entity that cannot be searched for, naming it. NaN and infinities do not pass the norm's test.
func checked(entities iter.Seq2[Entity, error], dimension int) iter.Seq2[Entity, error] {
	return func(yield func(Entity, error) bool) {
		for e, err := range entities {
			if err == nil {
				err = checkEntity(e, dimension)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func checkEntity(e Entity, dimension int) error {
	if e.ID == "" || len(e.ID) > maxID {
		return &Defect{fmt.Errorf("id %.40q has %d bytes, want 1 to %d", e.ID, len(e.ID), maxID)}
	}
	if len(e.Name) > maxName {
		return &Defect{fmt.Errorf("id %q has a name of %d bytes, at most %d", e.ID, len(e.Name), maxName)}
	}
	if len(e.Embedding) != dimension {
		return &Defect{fmt.Errorf("id %q has an embedding of %d numbers, the manifest says %d", e.ID, len(e.Embedding), dimension)}
	}
	if err := embedding.Check(e.Embedding); err != nil {
		return &Defect{fmt.Errorf("id %q has %w", e.ID, err)}
	}
	if bias := float64(e.Bias); math.IsNaN(bias) || math.IsInf(bias, 0) {
		return &Defect{fmt.Errorf("id %q has bias %v, want a finite number", e.ID, bias)}
	}
	return nil
}
