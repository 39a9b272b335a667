package foldin_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/foldin"
)

// BenchmarkFoldInAndTop20 is what one user costs: a session of ten items folded in, all items scored, the best 20 taken.
func BenchmarkFoldInAndTop20(b *testing.B) {
	for _, size := range []struct{ items, d int }{{10_000, 64}, {40_000, 64}, {40_000, 128}, {40_000, 256}, {300_000, 64}} {
		b.Run(fmt.Sprintf("%dx%d", size.items, size.d), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			rows := make([]float32, size.items*size.d)
			for k := range rows {
				rows[k] = float32(random.NormFloat64())
			}
			items, err := foldin.NewMatrix(rows, size.d)
			require.NoError(b, err)
			s, err := foldin.New(foldin.Loss{Dimension: size.d, Alpha0: 0.01, Lambda: 0.01, Items: size.items, Gramian: als.Gramian(rows[:1000*size.d], size.d)}, items)
			require.NoError(b, err)
			blend(b, random, s)
			var session []foldin.Weighted
			for n := range 10 {
				session = append(session, foldin.Weighted{Row: n * 7, Weight: 1})
			}
			prior := make([]float32, size.d)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				u, err := s.Fold(prior, session)
				if err != nil {
					b.Fatal(err)
				}
				u.Top(foldin.Choice{Limit: 20})
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used: on a busy machine the clock says more of the others.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
