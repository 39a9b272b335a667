package foldin

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/kernel"
	"github.com/millrace/millrace/shared/topk"
)

// Matrix holds n item embeddings of dimension d, in panels of 64 of them: d rows of 64, so that a scan for one user reads memory in
// order and adds whole registers (Combine). Row by row, 40,000 × 64 took 1.10 ms with AVX-512; so it takes .40 ms.
type Matrix struct {
	d, n     int
	panels   []float32
	inverses []float32 // 1/‖row‖; 0 for a row of zeros, which is similar to nothing
}

const panelRows = 64

// NewMatrix copies rows (n×d, row-major).
func NewMatrix(rows []float32, d int) (Matrix, error) {
	if d < 1 || len(rows)%d != 0 {
		return Matrix{}, fmt.Errorf("%d numbers are no embeddings of dimension %d", len(rows), d)
	}
	m := Matrix{d: d, n: len(rows) / d}
	m.panels, m.inverses = make([]float32, kernel.PadTo(m.n, panelRows)*d), make([]float32, m.n)
	for n := range m.inverses {
		var squares float64
		panel := m.panel(n)
		for i, x := range rows[n*d : (n+1)*d] {
			squares += float64(x) * float64(x)
			panel[i*panelRows+n%panelRows] = x
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
func (m Matrix) Len() int { return m.n }

// Row returns a copy of embedding n.
func (m Matrix) Row(n int) []float32 {
	row, panel := make([]float32, m.d), m.panel(n)
	for i := range row {
		row[i] = panel[i*panelRows+n%panelRows]
	}
	return row
}

// panel is the one with embedding n.
func (m Matrix) panel(n int) []float32 {
	from := n / panelRows * panelRows * m.d
	return m.panels[from : from+panelRows*m.d]
}

// Choice says which rows may be in a list.
type Choice struct {
	Limit       int
	Accept      func(row int) bool // nil: every row. It is asked about few rows only
	Category    []int32            // of each row; see topk.List
	PerCategory int
}

func (c Choice) prepare(l *topk.List) {
	l.Reset(c.Limit)
	l.Accept, l.Category, l.PerCategory = c.Accept, c.Category, c.PerCategory
}

// Top returns the rows with the greatest Score, greatest first: as many as the choice's limit if that many may be in the list. Equal
// scores order by row. It reads every row: exact, n·d multiplications.
func (u *User) Top(c Choice) []topk.Scored { return u.space.Top([]*User{u}, []Choice{c})[0] }

// Top answers several users of the space in one pass: every panel that comes from memory serves all of them.
func (s *Space) Top(users []*User, choices []Choice) [][]topk.Scored {
	memory := s.scratch.Get().(*scan)
	defer s.scratch.Put(memory)
	memory.reset(s.Items.d, len(users))
	for n, u := range users {
		l := memory.ask(n, u.Vector, choices[n])
		s.eachTogether(u.session, func(row int32, score float32) { l.added = append(l.added, addition{row, score}) })
		slices.SortFunc(l.added, func(a, b addition) int { return int(a.row) - int(b.row) })
	}
	memory.pass(s, nil)
	return memory.found()
}

// Nearest returns, for each of some rows, the rows with the least cosine distance (0…2) to its embedding, nearest first. Score holds the
// distance. A row of zeros is at distance 1 from everything.
func (s *Space) Nearest(rows []int, choices []Choice) [][]topk.Scored {
	memory := s.scratch.Get().(*scan)
	defer s.scratch.Put(memory)
	memory.reset(s.Items.d, len(rows))
	for n, row := range rows {
		query := s.Items.Row(row)
		for i := range query {
			query[i] *= s.Items.inverses[row]
		}
		memory.ask(n, query, choices[n])
	}
	memory.pass(s, s.Items.inverses)
	found := memory.found()
	for _, list := range found {
		for k := range list {
			list[k].Score = min(2, max(0, 1-list[k].Score))
		}
	}
	return found
}

// scan is the memory of a pass over all items: as long as it is used again, a pass makes no garbage.
type scan struct {
	scores  [kernel.TileRows * panelRows]float32 // of a group of queries
	d       int
	queries []float32 // in groups of kernel.TileRows, number by number
	last    []float32 // the last query
	lists   []candidates
}

// candidates are one query's best so far, and what co-occurrences add to the scores of the rows that are still to come.
type candidates struct {
	list  topk.List
	added []addition // by row
	next  int
}

type addition struct {
	row   int32
	score float32
}

func (c *scan) reset(d, n int) {
	size := kernel.PadTo(n, kernel.TileRows) * d
	c.d, c.queries, c.lists = d, slices.Grow(c.queries[:0], size)[:size], slices.Grow(c.lists[:0], n)[:n]
	clear(c.queries)
}

func (c *scan) ask(n int, query []float32, choice Choice) *candidates {
	group := c.queries[n/kernel.TileRows*kernel.TileRows*c.d:]
	for i, x := range query {
		group[i*kernel.TileRows+n%kernel.TileRows] = x
	}
	c.last = query
	l := &c.lists[n]
	l.added, l.next = l.added[:0], 0
	choice.prepare(&l.list)
	return l
}

// pass offers every row to every list, its score times its scale, if there is one.
func (c *scan) pass(s *Space, scale []float32) {
	for from := 0; from < s.Items.n; from += panelRows {
		panel, rows := s.Items.panel(from), min(panelRows, s.Items.n-from)
		for first := 0; first < len(c.lists); first += kernel.TileRows {
			clear(c.scores[:])
			if first == len(c.lists)-1 { // three quarters of a tile would be for nobody
				s.set.Combine(c.scores[:panelRows], panel, panelRows, c.last)
				c.lists[first].offer(from, c.scores[:rows], scale)
				continue
			}
			queries := c.queries[first*c.d : (first+kernel.TileRows)*c.d]
			for column := 0; column < panelRows; column += kernel.TileColumns {
				s.set.AddTile(c.d, queries, kernel.TileRows, panel[column:], panelRows, false, c.scores[column:], panelRows)
			}
			for n := range min(kernel.TileRows, len(c.lists)-first) {
				c.lists[first+n].offer(from, c.scores[n*panelRows:n*panelRows+rows], scale)
			}
		}
	}
}

func (c *candidates) offer(from int, scores, scale []float32) {
	if scale != nil {
		for k, x := range scale[from : from+len(scores)] {
			scores[k] *= x
		}
	}
	for ; c.next < len(c.added) && int(c.added[c.next].row) < from+len(scores); c.next++ {
		scores[int(c.added[c.next].row)-from] += c.added[c.next].score
	}
	c.list.OfferAll(from, scores)
}

func (c *scan) found() [][]topk.Scored {
	found := make([][]topk.Scored, len(c.lists))
	for n := range found {
		found[n] = slices.Clone(c.lists[n].list.Best())
		c.lists[n].list.Reset(0) // or it would keep the caller's filter
	}
	c.last = nil
	return found
}

// Best returns the rows with the greatest scores, one for each row, greatest first.
func Best(scores []float32, c Choice) []topk.Scored {
	var list topk.List
	c.prepare(&list)
	list.OfferAll(0, scores)
	return list.Best()
}
