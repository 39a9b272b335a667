package evaluate

import (
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/kernel"
)

// blockItems item rows of dimension 128 fill half of a 64 KiB share of the second-level cache and are used by a whole batch of users.
const blockItems = 64

// Factors scores by the inner product of the embeddings.
func Factors(f als.Factors) Score {
	items, users := newRows(f.Items, f.Dimension, kernel.DotColumns), f.Users
	return func(batch []int, scores [][]float32) {
		rows := make([]float32, 0, len(batch)*f.Dimension)
		for _, u := range batch {
			rows = append(rows, users[u*f.Dimension:(u+1)*f.Dimension]...)
		}
		products(newRows(rows, f.Dimension, kernel.DotRows), items, scores)
	}
}

// rows is a matrix with its rows padded to what the kernels take: lengths to kernel.Lanes, their number to a multiple of unit.
type rows struct {
	n, width int
	data     []float32
}

func newRows(matrix []float32, d, unit int) rows {
	n, width := len(matrix)/d, kernel.PadTo(d, kernel.Lanes)
	r := rows{n: n, width: width, data: make([]float32, kernel.PadTo(n, unit)*width)}
	for k := range n {
		copy(r.data[k*width:], matrix[k*d:(k+1)*d])
	}
	return r
}

// products sets scores[u][i] to ⟨users row u, items row i⟩.
func products(users, items rows, scores [][]float32) {
	set, w := kernel.Fastest(), users.width
	var tile [kernel.DotRows * kernel.DotColumns]float32
	for from := 0; from < items.n; from += blockItems {
		to := min(from+blockItems, items.n)
		for u := 0; u < users.n; u += kernel.DotRows {
			for i := from; i < to; i += kernel.DotColumns {
				set.Dots(w, users.data[u*w:], w, items.data[i*w:], w, tile[:], kernel.DotColumns)
				for row := range min(kernel.DotRows, users.n-u) {
					copy(scores[u+row][i:to], tile[row*kernel.DotColumns:(row+1)*kernel.DotColumns])
				}
			}
		}
	}
}

// Popularity scores every item by the sum of its weights in m, the same for every user.
func Popularity(m als.Interactions) Score {
	sums := make([]float32, m.Items)
	for i, s := range WeightSums(m.Transpose()) {
		sums[i] = float32(s)
	}
	return One(func(_ int, scores []float32) { copy(scores, sums) })
}

// WeightSums returns the sum of the weights of each row of m.
func WeightSums(m als.Interactions) []float64 {
	sums := make([]float64, m.Users)
	for u := range sums {
		_, weights := m.Row(u)
		for _, w := range weights {
			sums[u] += float64(w)
		}
	}
	return sums
}

func rowLengths(m als.Interactions) []int {
	lengths := make([]int, m.Users)
	for r := range lengths {
		items, _ := m.Row(r)
		lengths[r] = len(items)
	}
	return lengths
}
