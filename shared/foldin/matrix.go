package foldin

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/cholesky"
)

// Matrix holds item embeddings, a row each.
type Matrix struct {
	d        int
	rows     []float32 // n×d row-major
	inverses []float32 // 1/‖row‖; 0 for a row of zeros, which is similar to nothing
}

// NewMatrix keeps rows (n×d, row-major); the caller must not change them any more.
func NewMatrix(rows []float32, d int) (Matrix, error) {
	if d < 1 || len(rows)%d != 0 {
		return Matrix{}, fmt.Errorf("%d numbers are no embeddings of dimension %d", len(rows), d)
	}
	m := Matrix{d: d, rows: rows, inverses: make([]float32, len(rows)/d)}
	for n := range m.inverses {
		var squares float64
		for _, x := range m.Row(n) {
			squares += float64(x) * float64(x)
		}
		if math.IsNaN(squares) || math.IsInf(squares, 0) {
			return Matrix{}, fmt.Errorf("embedding %d is not finite", n)
		}
		if squares > 0 {
			m.inverses[n] = float32(1 / math.Sqrt(squares))
		}
	}
	return m, nil
}

// Dimension is d.
func (m Matrix) Dimension() int { return m.d }

// Len is n.
func (m Matrix) Len() int { return len(m.inverses) }

// Row returns embedding n; it belongs to the matrix.
func (m Matrix) Row(n int) []float32 { return m.rows[n*m.d : (n+1)*m.d : (n+1)*m.d] }

// Scored is a row with its score.
type Scored struct {
	Row   int
	Score float32
}

// Top returns the k rows with the greatest inner product with query, greatest first, without those in skip; fewer only
// if there are not that many. Equal scores order by row. It reads every row: exact, n·d multiplications.
func (m Matrix) Top(query []float32, k int, skip []int) []Scored {
	best := make(top, 0, k)
	for n := range m.Len() {
		best.offer(Scored{n, cholesky.Dot(query, m.Row(n))}, k, skip)
	}
	return best
}

// Nearest returns the k rows with the least cosine distance (0…2) to the embedding in row, nearest first, without
// those in skip. Score holds the distance. A row of zeros is at distance 1 from everything.
func (m Matrix) Nearest(row, k int, skip []int) []Scored {
	best := make(top, 0, k)
	query := m.Row(row)
	for n := range m.Len() {
		best.offer(Scored{n, cholesky.Dot(query, m.Row(n)) * m.inverses[row] * m.inverses[n]}, k, skip)
	}
	for i := range best {
		best[i].Score = min(2, max(0, 1-best[i].Score))
	}
	return best
}

// Best returns the k rows with the greatest score, one for each row, without those in skip.
func Best(scores []float32, k int, skip []int) []Scored {
	best := make(top, 0, k)
	for n, s := range scores {
		best.offer(Scored{n, s}, k, skip)
	}
	return best
}

// top is a short list in order, best first: nearly all rows fail its first comparison.
type top []Scored

func (t *top) offer(s Scored, k int, skip []int) {
	list := *t
	if k == 0 || len(list) == k && !(s.Score > list[k-1].Score) || slices.Contains(skip, s.Row) {
		return
	}
	if len(list) < k {
		list = append(list, s)
	}
	at := len(list) - 1
	for ; at > 0 && s.Score > list[at-1].Score; at-- {
		list[at] = list[at-1]
	}
	list[at] = s
	*t = list
}
