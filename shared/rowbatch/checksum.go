package rowbatch

import (
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// Checksum accumulates the content checksum of batches.
type Checksum struct {
	rows *checksum.Rows
	row  schema.Row
}

// NewChecksum starts one over batches of these columns.
func NewChecksum(cols []schema.Column) *Checksum { return &Checksum{rows: checksum.New(cols)} }

// Add adds all rows of a batch.
func (s *Checksum) Add(b *Batch) {
	for i := range b.Len() {
		s.row = b.Row(i, s.row)
		s.rows.Add(s.row)
	}
}

// Sum is the checksum of the rows added so far.
func (s *Checksum) Sum() checksum.Sum { return s.rows.Sum() }
