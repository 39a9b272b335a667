//go:build !(amd64 && goexperiment.simd)

package kernel

// vectorSets is empty: simd/archsimd knows amd64 only, and only with GOEXPERIMENT=simd.
func vectorSets() []*Set { return nil }
