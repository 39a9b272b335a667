package als

import (
	"cmp"
	"slices"
)

// A side is one of the two directions of the problem: its rows are solved while the columns' factors are fixed.
type side struct {
	matrix Interactions
	order  []int32 // rows with interactions, the longest first: what is left at the end of a pass is short
	heavy  int     // so many of order are solved by all cores together
	tasks  []int32 // task t solves order[tasks[t]:tasks[t+1]]
}

const (
	// heavyShare: a row with more than this share of a side's work would keep one core busy while others are done; with up to 32
	// cores a smaller one cannot.
	heavyShare = 1. / 32
	// taskShare of a side's work is taken by a core at a time: small beside the share of one core, large beside the cost of taking it.
	taskShare = 1. / 512
)

func newSide(m Interactions, d int) *side {
	s := &side{matrix: m}
	solved := 0
	for r := range m.Users {
		if s.length(int32(r)) > 0 {
			solved++
		}
	}
	s.order = make([]int32, 0, solved)
	var total float64
	for r := range m.Users {
		if n := s.length(int32(r)); n > 0 {
			s.order = append(s.order, int32(r))
			total += rowOperations(n, d)
		}
	}
	slices.SortFunc(s.order, func(a, b int32) int { return cmp.Or(cmp.Compare(s.length(b), s.length(a)), cmp.Compare(a, b)) })
	for _, r := range s.order {
		if s.length(r) < d || rowOperations(s.length(r), d) < heavyShare*total {
			break
		}
		s.heavy++
	}
	s.tasks = []int32{int32(s.heavy)}
	var inTask float64
	for k := s.heavy; k < len(s.order); k++ {
		if inTask += rowOperations(s.length(s.order[k]), d); inTask > taskShare*total || k == len(s.order)-1 {
			s.tasks = append(s.tasks, int32(k+1))
			inTask = 0
		}
	}
	return s
}

func (s *side) length(row int32) int { return s.matrix.start[row+1] - s.matrix.start[row] }

// rowOperations is the number of floating-point operations that solving a row of n interactions takes: see solveRow.
func rowOperations(n, d int) float64 {
	small, large := float64(min(n, d)), float64(max(n, d))
	return small*small*large + small*small*small/3 + 4*float64(n)*float64(d)
}
