package train

import (
	"math"

	"github.com/millrace/millrace/shared/als"
)

// Ways to count the summed weight w of a pair. Quantities and prices are often so uneven that a few pairs would outweigh all others.
const (
	Linear      = "linear"      // w
	Logarithmic = "logarithmic" // log(1 + w)
	Equal       = "equal"       // 1
)

func counted(w float32, how string) float32 {
	switch how {
	case Logarithmic:
		return float32(math.Log1p(float64(w)))
	case Equal:
		return 1
	}
	return w
}

// weighted counts the weights of m; unit is their mean, by which they are to be divided.
func weighted(m als.Interactions, how string) (_ als.Interactions, unit float64, err error) {
	if how != Linear {
		list := make([]als.Interaction, 0, m.Len())
		for u := range m.Users {
			items, weights := m.Row(u)
			for k, i := range items {
				list = append(list, als.Interaction{User: int32(u), Item: i, Weight: counted(weights[k], how)})
			}
		}
		if m, err = als.Collect(m.Users, m.Items, list); err != nil {
			return als.Interactions{}, 0, err
		}
	}
	return m, m.MeanWeight(), nil
}

// varied says whether there are different weights.
func varied(m als.Interactions) bool {
	first := float32(0)
	for u := range m.Users {
		_, weights := m.Row(u)
		for _, w := range weights {
			if first == 0 {
				first = w
			} else if w != first {
				return true
			}
		}
	}
	return false
}
