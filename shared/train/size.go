package train

import (
	"runtime"

	"github.com/millrace/millrace/shared/als"
)

// LargestDimension is the most that the search for d may choose.
const LargestDimension = maxDimension

// Size is what the cost of a training depends on, before anything is read.
type Size struct {
	Rows, Users, Items int64
	Dimension          int
}

// Memory is how many bytes Run takes at most, garbage aside:
//
//	als.Size.Memory + 60·rows + (8d + 600)(users + items) + 800·items + 64 MiB
//
// Beside the solver's: rows as they are read and sorted, the parts that are held out, and lists from which matrices are made; the factors
// that are being assembled, with ids and features; the item-based baseline's neighbours; files that are being read. docs/model.md compares with measurements.
func (s Size) Memory() int64 {
	solver := als.Size{Users: int(s.Users), Items: int(s.Items), Interactions: int(s.Rows), Dimension: s.Dimension, Cores: runtime.GOMAXPROCS(0)}
	return solver.Memory() + 60*s.Rows + (8*int64(s.Dimension)+600)*(s.Users+s.Items) + 800*s.Items + 64<<20
}
