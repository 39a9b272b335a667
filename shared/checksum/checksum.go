// Package checksum computes an order-independent content checksum of rows, the same in SQL
// on the server and in Go over any file, so that every stage can be reconciled with the table.
//
// A row's text is its columns' canonical text (schema.AppendText) joined by 0x1F, a NULL
// being the single byte 0x00. Its c = CRC32(text) enters two sums, Σc and Σc². CRC32 finds
// every change of up to 32 adjacent bits and others with probability 1 − 2⁻³²; Σc alone
// could miss values swapped between rows (CRC is linear), Σc² is not linear and closes that:
// the two sums and the count determine any two rows' checksums. CRC32 is what MySQL, MariaDB
// and the embedded server compute natively, at a fraction of the cost of MD5.
package checksum

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/big"
	"math/bits"

	"github.com/millrace/millrace/shared/schema"
)

const (
	// Separator stands between columns in a row's text.
	Separator = 0x1F
	// Null stands for a NULL in a row's text.
	Null = 0x00
)

// Sum is the checksum of a set of rows. The zero value is that of no rows; sums are comparable with ==.
type Sum struct {
	Rows    int64
	crc     uint64 // Σc: 2³² rows fit
	squares [2]uint64
}

// Rows accumulates the sum of rows of one table.
type Rows struct {
	cols []schema.Column
	text []byte
	sum  Sum
}

// New starts a checksum over rows of these columns.
func New(cols []schema.Column) *Rows { return &Rows{cols: cols} }

// longText bytes and more are not copied into the row's text: a row may hold hundreds of MiB.
const longText = 4 << 10

// Add adds one row and returns its CRC32.
func (r *Rows) Add(row schema.Row) uint32 {
	crc, text := uint32(0), r.text[:0]
	for i := range row {
		if long := row[i].Bytes; len(long) >= longText && !row[i].Null && (r.cols[i].Kind == schema.String || r.cols[i].Kind == schema.Bytes) {
			crc = crc32.Update(crc, crc32.IEEETable, appendSeparator(text, i))
			crc, text = crc32.Update(crc, crc32.IEEETable, long), text[:0]
			continue
		}
		text = appendText(text, i, &r.cols[i], &row[i])
	}
	r.text = text
	crc = crc32.Update(crc, crc32.IEEETable, text)
	r.sum.Add(crc)
	return crc
}

// Sum is the checksum of the rows added so far.
func (r *Rows) Sum() Sum { return r.sum }

// AppendText appends a row's canonical text.
func AppendText(dst []byte, cols []schema.Column, row schema.Row) []byte {
	for i := range row {
		dst = appendText(dst, i, &cols[i], &row[i])
	}
	return dst
}

func appendText(dst []byte, i int, c *schema.Column, v *schema.Value) []byte {
	dst = appendSeparator(dst, i)
	if v.Null {
		return append(dst, Null)
	}
	return c.AppendText(dst, v)
}

func appendSeparator(dst []byte, i int) []byte {
	if i == 0 {
		return dst
	}
	return append(dst, Separator)
}

// Add adds a row by its CRC32.
func (s *Sum) Add(c uint32) {
	s.Rows++
	s.crc += uint64(c)
	var carry uint64
	s.squares[1], carry = bits.Add64(s.squares[1], uint64(c)*uint64(c), 0)
	s.squares[0] += carry
}

// Plus is the checksum of both sets of rows together.
func (s Sum) Plus(t Sum) Sum {
	s.Rows += t.Rows
	s.crc += t.crc
	var carry uint64
	s.squares[1], carry = bits.Add64(s.squares[1], t.squares[1], 0)
	s.squares[0] += t.squares[0] + carry
	return s
}

// Parse builds a sum from the decimal texts that a server returns for COUNT(*), Σc and Σc².
func Parse(rows int64, crc, squares string) (Sum, error) {
	c, ok1 := new(big.Int).SetString(crc, 10)
	q, ok2 := new(big.Int).SetString(squares, 10)
	if !ok1 || !ok2 || !c.IsUint64() || q.Sign() < 0 || q.BitLen() > 128 {
		return Sum{}, fmt.Errorf("not a checksum: sums %q and %q", crc, squares)
	}
	low := new(big.Int).And(q, new(big.Int).SetUint64(^uint64(0)))
	return Sum{Rows: rows, crc: c.Uint64(), squares: [2]uint64{new(big.Int).Rsh(q, 64).Uint64(), low.Uint64()}}, nil
}

func (s Sum) squaresText() string {
	q := new(big.Int).SetUint64(s.squares[0])
	return q.Add(q.Lsh(q, 64), new(big.Int).SetUint64(s.squares[1])).String()
}

func (s Sum) String() string {
	return fmt.Sprintf("%d rows, Σcrc %d, Σcrc² %s", s.Rows, s.crc, s.squaresText())
}

// sumJSON writes the sums as decimal strings: they exceed what JSON readers keep exactly.
type sumJSON struct {
	Rows    int64  `json:"rows"`
	CRC     string `json:"sum_crc32"`
	Squares string `json:"sum_crc32_squared"`
}

// MarshalJSON writes {"rows", "sum_crc32", "sum_crc32_squared"}, the sums as strings.
func (s Sum) MarshalJSON() ([]byte, error) {
	return json.Marshal(sumJSON{s.Rows, fmt.Sprint(s.crc), s.squaresText()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sum) UnmarshalJSON(b []byte) error {
	var j sumJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	var err error
	*s, err = Parse(j.Rows, j.CRC, j.Squares)
	return err
}
