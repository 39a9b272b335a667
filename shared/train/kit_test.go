package train_test

import (
	"cmp"
	"math"

	"github.com/millrace/millrace/shared/model"
)

type (
	trial  = model.Trial
	entity = model.Entity
)

func compare[T cmp.Ordered](a, b T) int { return cmp.Compare(a, b) }

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for k := range a {
		ab, aa, bb = ab+float64(a[k])*float64(b[k]), aa+float64(a[k])*float64(a[k]), bb+float64(b[k])*float64(b[k])
	}
	return ab / math.Sqrt(aa*bb)
}
