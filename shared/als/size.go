package als

import (
	"math"
	"time"

	"github.com/millrace/millrace/shared/eigen"
	"github.com/millrace/millrace/shared/kernel"
)

// Size is what the cost of a problem depends on.
type Size struct {
	Users, Items, Interactions int // interactions are distinct pairs
	Dimension                  int
	Cores                      int
}

// Memory is how many bytes training takes, with the interactions that it is given: at most, for any data of this size.
//
//	16·|S| + (4d + 12)(|U| + |V|) + d²·(4·parts + 32 + 8·cores)        parts = max(|U|, |V|)/4d, at most 16
//
// The interactions by user and by item; the factors, where each row starts and the order of the rows; partial Gramians, the
// decomposition of a Gramian, and a panel and a system for each core. d here is d rounded up to a multiple of 32, plus 16 to 32.
// The list that Collect reads is not part of it: 12 bytes an interaction, until it is let go. While Collect runs, it takes 16 more.
func (s Size) Memory() int64 {
	const starts, order, results = 8, 4, 4 + 16
	d, rows := s.Dimension, s.Users+s.Items
	tasks := 2 + int(1/taskShare)
	parts := partsOf(max(s.Users, s.Items), d)
	bytes := 16*s.Interactions + (starts+order)*rows + 2*results*tasks + 4*d*rows
	bytes += 4 * parts * (systemSize(d) + kernel.PadTo(d, kernel.TileColumns))
	bytes += eigen.Memory(d) + 4*d*kernel.PadTo(d, kernel.TileColumns) + 4*d
	bytes += 4 * s.Cores * workspaceSize(d, d)
	// What a few slices are rounded up to, and what goroutines take.
	return int64(bytes) + 64<<10
}

// EpochTime is a rough model of how long one epoch takes on cores like those of bench/RESULTS.md: off by a factor of two, more where
// lengths of rows are spread unusually. Each row's operations, those of the Gramians and of turning the axes, at the
// pace of the tile; the factors that rows gather from memory; something for each row. How often a row is solved in the
// cheap short form depends on the lengths; rows are taken to be as long as the one that a random interaction lies in, up to twice the mean.
func (s Size) EpochTime(set *kernel.Set) time.Duration {
	const gather, perRow = 4e9, 1.5e-6 // bytes/s and s, measured with prefetching
	d := float64(s.Dimension)
	var operations float64
	for _, rows := range []int{s.Users, s.Items} {
		mean := float64(s.Interactions) / float64(max(1, rows))
		length := mean * (1 + 1/(1+mean/d))
		operations += float64(rows) * (rowOperations(int(math.Ceil(length)), s.Dimension) + 3*d*d)
	}
	operations += 2 * 10 * d * d * d // two decompositions
	seconds := operations/(set.Gigaflops*1e9) + 8*d*float64(s.Interactions)/gather + perRow*float64(s.Users+s.Items)
	return time.Duration(seconds / float64(max(1, s.Cores)) * float64(time.Second))
}
