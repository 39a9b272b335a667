package rowbatch

import (
	"hash/crc32"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// Checksum accumulates the content checksum of batches: that of package checksum, without a schema.Row for each row.
type Checksum struct {
	text   []byte
	values []schema.Value // of a row; only the member that the column's kind names is set
	sum    checksum.Sum
}

// NewChecksum starts one over batches of these columns.
func NewChecksum(cols []schema.Column) *Checksum {
	return &Checksum{values: make([]schema.Value, len(cols))}
}

// Add adds all rows of a batch.
func (s *Checksum) Add(b *Batch) {
	for i := range b.rows {
		s.text = s.text[:0]
		for k := range b.Columns {
			if k > 0 {
				s.text = append(s.text, checksum.Separator)
			}
			c, v := &b.Columns[k], &s.values[k]
			if c.Nullable && c.Nulls[i] {
				s.text = append(s.text, checksum.Null)
				continue
			}
			switch c.Form {
			case Integers:
				v.Int = c.Ints[i]
			case Floats:
				v.Float = c.Floats[i]
			default:
				v.Bytes = c.Text(i)
			}
			s.text = c.AppendText(s.text, v)
		}
		s.sum.Add(crc32.ChecksumIEEE(s.text))
	}
}

// Sum is the checksum of the rows added so far.
func (s *Checksum) Sum() checksum.Sum { return s.sum }
