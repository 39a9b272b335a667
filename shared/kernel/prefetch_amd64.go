package kernel

// Prefetch asks for v to be in the second-level cache soon. Rows of the factors are gathered from all over memory; a processor does not
// guess which is next. This is the one instruction that package archsimd lacks.
func Prefetch(v []float32) {
	if len(v) > 0 {
		prefetch(&v[0], len(v))
	}
}

//go:noescape
func prefetch(p *float32, n int)
