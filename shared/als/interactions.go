package als

import (
	"cmp"
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
	start        []int // row u is item[start[u]:start[u+1]]
	item         []int32
	weight       []float32
}

// Collect builds the matrix. The order of list does not matter; weights of a repeated pair are summed.
// list is sorted in place. Errors: *WeightError, *IndexError; an empty list is a valid, empty matrix.
func Collect(users, items int, list []Interaction) (Interactions, error) {
	for _, x := range list {
		if x.User < 0 || int(x.User) >= users || x.Item < 0 || int(x.Item) >= items {
			return Interactions{}, &IndexError{User: x.User, Item: x.Item, Users: users, Items: items}
		}
		if !(x.Weight > 0) || math.IsInf(float64(x.Weight), 1) {
			return Interactions{}, &WeightError{User: x.User, Item: x.Item, Weight: x.Weight}
		}
	}
	// The weight takes part in the order so that the sum of a repeated pair does not depend on the order of the list.
	slices.SortFunc(list, func(a, b Interaction) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Item, b.Item), cmp.Compare(a.Weight, b.Weight))
	})
	m := Interactions{
		Users: users, Items: items,
		start: make([]int, users+1), item: make([]int32, 0, len(list)), weight: make([]float32, 0, len(list)),
	}
	for k, x := range list {
		if k > 0 && list[k-1].User == x.User && list[k-1].Item == x.Item {
			m.weight[len(m.weight)-1] += x.Weight
			continue
		}
		m.item, m.weight = append(m.item, x.Item), append(m.weight, x.Weight)
		m.start[x.User+1]++
	}
	for u := range users {
		m.start[u+1] += m.start[u]
	}
	return m, nil
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
	t := Interactions{
		Users: m.Items, Items: m.Users,
		start: make([]int, m.Items+1), item: make([]int32, len(m.item)), weight: make([]float32, len(m.item)),
	}
	for _, i := range m.item {
		t.start[i+1]++
	}
	for i := range m.Items {
		t.start[i+1] += t.start[i]
	}
	next := slices.Clone(t.start)
	for u := range m.Users {
		items, weights := m.Row(u)
		for k, i := range items {
			at := next[i]
			next[i]++
			t.item[at], t.weight[at] = int32(u), weights[k]
		}
	}
	return t
}
