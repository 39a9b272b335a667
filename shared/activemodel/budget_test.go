package activemodel_test

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
)

const memorySize = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

func TestModelsGetLessThanTheCollectorIsHeldToAndThatIsLessThanTheFunctionHas(t *testing.T) {
	const only = -1 // reads the limit
	before := debug.SetMemoryLimit(only)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, c := range []struct{ megabytes, budget, limit int64 }{{128, 67, 86}, {512, 336, 432}, {1024, 694, 892}, {10240, 7145, 9187}} {
		t.Setenv(memorySize, fmt.Sprint(c.megabytes))
		require.Equal(t, c.budget, activemodel.BoundMemory()>>20)
		require.Equal(t, c.limit, debug.SetMemoryLimit(only)>>20)
	}
	debug.SetMemoryLimit(before)
	t.Setenv(memorySize, "")
	require.EqualValues(t, math.MaxInt64, activemodel.BoundMemory())
	require.Equal(t, before, debug.SetMemoryLimit(only))
}

// What is there when a next version has just been read: that, as it was read too, and the last one with all its lists. Not parallel: it measures
// the heap.
func TestNeedIsWhatAReplacementHolds(t *testing.T) {
	const n = 2000
	for _, d := range []int{16, 128} {
		for _, together := range []bool{false, true} {
			before := heap()
			last, _ := model(t, n, d, together)
			for k := range n {
				_, known := last.Similar(id(k), recommend.ListLength)
				require.True(t, known)
			}
			next, read := model(t, n, d, together)
			held := heap() - before
			runtime.KeepAlive(last)
			runtime.KeepAlive(next)
			runtime.KeepAlive(read)
			need := activemodel.Need(n, d, together)
			t.Logf("%d items of dimension %d, together %v: %d KiB, counted %d", n, d, together, held>>10, need>>10)
			require.LessOrEqual(t, held, need)
			require.Greater(t, held, need*7/10)
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a sync.Pool held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// model is one with texts of a usual length, and what it was made from.
func model(t *testing.T, n, d int, together bool) (*recommend.Model, recommend.Catalog) {
	c := recommend.Catalog{Embeddings: make([]float32, n*d), Bias: make([]float32, n)}
	c.IDs, c.Names, c.Stock, c.Category = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for k := range c.Embeddings {
		c.Embeddings[k] = float32(k*7919%1009) - 504
	}
	for k := range n {
		c.IDs[k], c.Names[k] = id(k), fmt.Sprintf("1957 Corvette Convertible %d", k)
		c.Stock[k], c.Category[k] = fmt.Sprint(k+1), fmt.Sprint("Line ", k%100)
	}
	encoder := &features.Encoder{Dimension: d, Alpha0: 0.05, Lambda: 0.02, Items: n, Gramian: als.Gramian(c.Embeddings, d), MeanUser: make([]float32, d)}
	if together {
		const each = 50
		c.Together, encoder.Blend = &cooccurrence.Table{}, 1
		c.Together.Grow(n, n*each)
		for range n {
			require.NoError(t, c.Together.Append(make([]int32, each), slices.Repeat([]float32{.5}, each)))
		}
	}
	m, err := recommend.NewModel("v", encoder, c, shop)
	require.NoError(t, err)
	return m, c
}
