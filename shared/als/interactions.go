package als

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrEmpty says that there is nothing to learn from.
var ErrEmpty = errors.New("no interactions")

// WeightError names an interaction whose weight is not a finite number above zero.
type WeightError struct {
	User, Item int32
	Weight     float32
}

func (e *WeightError) Error() string {
	return fmt.Sprintf("interaction of user %d with item %d: weight %v is not a finite number above zero", e.User, e.Item, e.Weight)
}

// IndexError names an interaction whose user or item lies outside the matrix.
type IndexError struct {
	User, Item   int32
	Users, Items int
}

func (e *IndexError) Error() string {
	return fmt.Sprintf("interaction of user %d with item %d lies outside the %d×%d matrix", e.User, e.Item, e.Users, e.Items)
}

// Interaction is one observed pair: rows of the matrix are users, columns are items, both counted from 0.
type Interaction struct {
	User, Item int32
	Weight     float32 // confidence, > 0; 1 is an ordinary observation
}

// Interactions is a sparse Users×Items matrix of weights in compressed rows: 8 bytes an interaction.
type Interactions struct {
	Users, Items int
	Repeated     int // interactions of the list that were added to an earlier one of the same pair

	start  []int // row u is item[start[u]:start[u+1]]
	item   []int32
	weight []float32
}

// Collect builds the matrix. The order of list does not matter; weights of a repeated pair are summed, and Repeated says how often that
// happened. Errors: *WeightError, *IndexError; an empty list is a valid, empty matrix.
func Collect(users, items int, list []Interaction) (Interactions, error) {
	for _, x := range list {
		if x.User < 0 || int(x.User) >= users || x.Item < 0 || int(x.Item) >= items {
			return Interactions{}, &IndexError{User: x.User, Item: x.Item, Users: users, Items: items}
		}
		if !(x.Weight > 0) || math.IsInf(float64(x.Weight), 1) {
			return Interactions{}, &WeightError{User: x.User, Item: x.Item, Weight: x.Weight}
		}
	}
	// By item first: turning that into rows of users leaves the items of each in order, and no comparison is needed.
	byItem := newInteractions(items, users, len(list), func(visit func(row, column int32, weight float32)) {
		for _, x := range list {
			visit(x.Item, x.User, x.Weight)
		}
	})
	m := byItem.Transpose()
	m.sumRepeated()
	return m, nil
}

// newInteractions distributes the pairs that each visits, the same ones every time, to rows; within a row they keep their order.
func newInteractions(rows, columns, n int, each func(visit func(row, column int32, weight float32))) Interactions {
	m := Interactions{
		Users: rows, Items: columns,
		start: make([]int, rows+1), item: make([]int32, n), weight: make([]float32, n),
	}
	// start is one row ahead while it serves as the place for the next pair of a row: start[r+1] begins as the start of row r.
	each(func(row, _ int32, _ float32) {
		if int(row)+2 <= rows {
			m.start[row+2]++
		}
	})
	for r := 2; r <= rows; r++ {
		m.start[r] += m.start[r-1]
	}
	each(func(row, column int32, weight float32) {
		at := m.start[row+1]
		m.start[row+1]++
		m.item[at], m.weight[at] = column, weight
	})
	return m
}

// sumRepeated makes one of neighbours of the same row and item. Their weights are added in the order of their size,
// so that the sum does not depend on the order of the list.
func (m *Interactions) sumRepeated() {
	read, kept := 0, 0
	for u := range m.Users {
		end := m.start[u+1]
		for read < end {
			next := read + 1
			for next < end && m.item[next] == m.item[read] {
				next++
			}
			slices.Sort(m.weight[read:next])
			var sum float64
			for _, w := range m.weight[read:next] {
				sum += float64(w)
			}
			m.item[kept], m.weight[kept] = m.item[read], float32(min(sum, math.MaxFloat32))
			kept++
			read = next
		}
		m.start[u+1] = kept
	}
	m.Repeated = read - kept
	m.item, m.weight = m.item[:kept], m.weight[:kept]
}

// Len is the number of distinct pairs.
func (m Interactions) Len() int { return len(m.item) }

// Row returns the items of one user, ascending, and their weights. The slices belong to the matrix.
func (m Interactions) Row(user int) (items []int32, weights []float32) {
	from, to := m.start[user], m.start[user+1]
	return m.item[from:to], m.weight[from:to]
}

// Scaled returns the matrix with every weight divided by unit (> 0).
func (m Interactions) Scaled(unit float64) Interactions {
	weight := make([]float32, len(m.weight))
	for k, w := range m.weight {
		weight[k] = float32(float64(w) / unit)
	}
	m.weight = weight
	return m
}

// MeanWeight is the mean over the distinct pairs, 0 if there are none.
func (m Interactions) MeanWeight() float64 {
	var sum float64
	for _, w := range m.weight {
		sum += float64(w)
	}
	return sum / max(1, float64(len(m.weight)))
}

// Transpose returns the Items×Users matrix of the same weights.
func (m Interactions) Transpose() Interactions {
	t := newInteractions(m.Items, m.Users, len(m.item), func(visit func(row, column int32, weight float32)) {
		for u := range m.Users {
			items, weights := m.Row(u)
			for k, i := range items {
				visit(i, int32(u), weights[k])
			}
		}
	})
	t.Repeated = m.Repeated
	return t
}
