//go:build amd64 && goexperiment.simd

package kernel

import "simd/archsimd"

func vectorSets() []*Set {
	var sets []*Set
	if archsimd.X86.AVX512() {
		sets = append(sets, &avx512)
	}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		sets = append(sets, &avx2)
	}
	return sets
}
