package evaluate

import "github.com/millrace/millrace/shared/als"

// blockItems item rows of dimension 128 fill half of a 64 KiB share of the second-level cache and are used by a whole batch of users.
const blockItems = 64

// Factors scores by the inner product of the embeddings.
func Factors(f als.Factors) Score {
	return func(batch []int, scores [][]float32) {
		items := len(f.Items) / f.Dimension
		for from := 0; from < items; from += blockItems {
			for n, u := range batch {
				for i := from; i < min(from+blockItems, items); i++ {
					scores[n][i] = inner(f.User(u), f.Item(i))
				}
			}
		}
	}
}

func inner(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	j := 0
	for ; j+4 <= len(x); j += 4 {
		s0 += x[j] * y[j]
		s1 += x[j+1] * y[j+1]
		s2 += x[j+2] * y[j+2]
		s3 += x[j+3] * y[j+3]
	}
	for ; j < len(x); j++ {
		s0 += x[j] * y[j]
	}
	return s0 + s1 + (s2 + s3)
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
