package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/als"
)

// ErrNoID says that a row names no user or no item.
var ErrNoID = errors.New("the user or the item is empty")

// WeightError is a weight that cannot count an interaction.
type WeightError struct{ Weight float64 }

func (e *WeightError) Error() string {
	return fmt.Sprintf("weight %v: want a finite number of zero or more", e.Weight)
}

// Interactions collects rows of (user, item, weight, time). The zero value is empty and ready; 24 bytes a row beside
// the ids, each kept once.
type Interactions struct {
	users, items ids
	rows         []row
	withoutValue int64
	timed        bool
	sessions     bool // a user is a session, times are places in it
}

type row struct {
	user, item int32
	weight     float32
	time       int64
}

func (r row) interaction() als.Interaction {
	return als.Interaction{User: r.user, Item: r.item, Weight: r.weight}
}

// Add adds one row without a time. A weight of zero is counted, but is no interaction.
func (x *Interactions) Add(user, item string, weight float64) error {
	return x.add(user, item, weight, 0)
}

// AddAt adds one row with its time, in any unit that ascends. Use it for all rows or for none.
func (x *Interactions) AddAt(user, item string, weight float64, at int64) error {
	x.timed = true
	return x.add(user, item, weight, at)
}

func (x *Interactions) add(user, item string, weight float64, at int64) error {
	if user == "" || item == "" {
		return ErrNoID
	}
	if math.IsNaN(weight) || weight < 0 || weight > math.MaxFloat32 {
		return &WeightError{Weight: weight}
	}
	if float32(weight) == 0 {
		x.withoutValue++
		return nil
	}
	x.rows = append(x.rows, row{user: x.users.of(user), item: x.items.of(item), weight: float32(weight), time: at})
	return nil
}

// Skip counts a row that has no weight (NULL): it is no interaction.
func (x *Interactions) Skip() { x.withoutValue++ }

// Len is the number of rows that count.
func (x *Interactions) Len() int { return len(x.rows) }

// sort renumbers users and items in the order of their ids and orders the rows, so that the model does not depend on
// the order in which rows came.
func (x *Interactions) sort() {
	newUser, newItem := x.users.sort(), x.items.sort()
	for k := range x.rows {
		x.rows[k].user, x.rows[k].item = newUser[x.rows[k].user], newItem[x.rows[k].item]
	}
	slices.SortFunc(x.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.item, b.item), cmp.Compare(a.time, b.time))
	})
}

// ids numbers strings in the order of their first appearance.
type ids struct {
	list  []string
	index map[string]int32
}

func (s *ids) of(id string) int32 {
	n, known := s.index[id]
	if !known {
		if s.index == nil {
			s.index = map[string]int32{}
		}
		n = int32(len(s.list))
		id = string([]byte(id)) // not a slice of a whole line or page
		s.list = append(s.list, id)
		s.index[id] = n
	}
	return n
}

// sort numbers the ids in ascending order and returns the new number of each old one.
func (s *ids) sort() []int32 {
	order := make([]int32, len(s.list))
	for n := range order {
		order[n] = int32(n)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(s.list[a], s.list[b]) })
	renumbered, sorted := make([]int32, len(order)), make([]string, len(order))
	for n, old := range order {
		renumbered[old], sorted[n] = int32(n), s.list[old]
		s.index[s.list[old]] = int32(n)
	}
	s.list = sorted
	return renumbered
}
