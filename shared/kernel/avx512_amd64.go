//go:build amd64 && goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// Go 1.26 keeps vectors that live across a loop in 15 registers: a loop below has at most 8 sums and 6 operands, or it spills
// (measured: 110 GFLOPS for 4×32 sums, 17 for 8×32). Every function clears the upper halves before it returns: on Intel the
// SSE instructions of ordinary Go code are slow while they are in use. Loops count offsets and do not move pointers, because a
// pointer past the end of its slice is one into another object, or none, for the garbage collector.
var avx512 = Set{
	Name: "avx512", Gigaflops: 75,
	addTile: addTile512, dots: dots512, eliminate: eliminate512, scale: scale512, pack: pack512, combine: combine512, dot: dot512,
	rotate: rotate512, add: add512,
}

func load16(p unsafe.Pointer, offset int) archsimd.Float32x16 {
	return archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(p, offset)))
}

func store16(p unsafe.Pointer, offset int, v archsimd.Float32x16) {
	v.Store((*[16]float32)(unsafe.Add(p, offset)))
}

// sum4 adds the lanes of each of four vectors.
func sum4(a, b, c, d archsimd.Float32x8) archsimd.Float32x4 {
	q := a.AddPairsGrouped(b).AddPairsGrouped(c.AddPairsGrouped(d))
	return q.GetLo().Add(q.GetHi())
}

func half(v archsimd.Float32x16) archsimd.Float32x8 { return v.GetLo().Add(v.GetHi()) }

func addTile512(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int) {
	pa, pb := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float32x16
	for i, j := 0, 0; k > 0; k-- {
		b0, b1 := load16(pb, j), load16(pb, j+64)
		row := (*[4]float32)(unsafe.Add(pa, i))
		x := archsimd.BroadcastFloat32x16(row[0])
		c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
		x = archsimd.BroadcastFloat32x16(row[1])
		c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
		x = archsimd.BroadcastFloat32x16(row[2])
		c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
		x = archsimd.BroadcastFloat32x16(row[3])
		c30, c31 = x.MulAdd(b0, c30), x.MulAdd(b1, c31)
		i, j = i+lda*4, j+ldb*4
	}
	p := unsafe.Pointer(unsafe.SliceData(c))
	if subtract {
		store16(p, 0, load16(p, 0).Sub(c00))
		store16(p, 64, load16(p, 64).Sub(c01))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Sub(c10))
		store16(p, 64, load16(p, 64).Sub(c11))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Sub(c20))
		store16(p, 64, load16(p, 64).Sub(c21))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Sub(c30))
		store16(p, 64, load16(p, 64).Sub(c31))
	} else {
		store16(p, 0, load16(p, 0).Add(c00))
		store16(p, 64, load16(p, 64).Add(c01))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Add(c10))
		store16(p, 64, load16(p, 64).Add(c11))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Add(c20))
		store16(p, 64, load16(p, 64).Add(c21))
		p = unsafe.Add(p, ldc*4)
		store16(p, 0, load16(p, 0).Add(c30))
		store16(p, 64, load16(p, 64).Add(c31))
	}
	archsimd.ClearAVXUpperBits()
}

func dots512(n int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	a0, b0 := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	a1, b1 := unsafe.Add(a0, lda*4), unsafe.Add(b0, ldb*4)
	b2, b3 := unsafe.Add(b0, ldb*8), unsafe.Add(b0, ldb*12)
	var c00, c01, c02, c03, c10, c11, c12, c13 archsimd.Float32x16
	for i := 0; i < n*4; i += 64 {
		x, y := load16(a0, i), load16(a1, i)
		v := load16(b0, i)
		c00, c10 = v.MulAdd(x, c00), v.MulAdd(y, c10)
		v = load16(b1, i)
		c01, c11 = v.MulAdd(x, c01), v.MulAdd(y, c11)
		v = load16(b2, i)
		c02, c12 = v.MulAdd(x, c02), v.MulAdd(y, c12)
		v = load16(b3, i)
		c03, c13 = v.MulAdd(x, c03), v.MulAdd(y, c13)
	}
	p := unsafe.Pointer(unsafe.SliceData(c))
	sum4(half(c00), half(c01), half(c02), half(c03)).Store((*[4]float32)(p))
	sum4(half(c10), half(c11), half(c12), half(c13)).Store((*[4]float32)(unsafe.Add(p, ldc*4)))
	archsimd.ClearAVXUpperBits()
}

func eliminate512(a []float32, lda, rows, columns int) bool {
	p, ld, end := unsafe.Pointer(unsafe.SliceData(a)), lda*4, columns*4
	for k := range rows {
		from, row := k&^15*4, unsafe.Add(p, k*ld)
		diagonal := (*float32)(unsafe.Add(row, k*4))
		inverse, ok := inverseRoot(*diagonal)
		if !ok {
			archsimd.ClearAVXUpperBits()
			return false
		}
		x := archsimd.BroadcastFloat32x16(inverse)
		for j := from; j < end; j += 64 {
			store16(row, j, load16(row, j).Mul(x))
		}
		other := row
		for i := k + 1; i < rows; i++ {
			other = unsafe.Add(other, ld)
			x := archsimd.BroadcastFloat32x16(-*(*float32)(unsafe.Add(row, i*4)))
			for j := i &^ 15 * 4; j < end; j += 64 {
				store16(other, j, load16(row, j).MulAdd(x, load16(other, j)))
			}
		}
		*diagonal = inverse
	}
	archsimd.ClearAVXUpperBits()
	return true
}

func scale512(out, v, by []float32, factor float32) {
	po, pv, pb := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(v)), unsafe.Pointer(unsafe.SliceData(by))
	x := archsimd.BroadcastFloat32x16(factor)
	for j := 0; j < len(out)*4; j += 64 {
		store16(po, j, x.Mul(load16(pv, j)).Mul(load16(pb, j)))
	}
	archsimd.ClearAVXUpperBits()
}

func pack512(out []float32, group int, v []float32, factor float32) {
	po, pv := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(v))
	x := archsimd.BroadcastFloat32x16(factor)
	for i, j := 0, 0; j < len(v)*4; i, j = i+group*4, j+TileColumns*4 {
		store16(po, i, x.Mul(load16(pv, j)))
		store16(po, i+64, x.Mul(load16(pv, j+64)))
	}
	archsimd.ClearAVXUpperBits()
}

func combine512(out, a []float32, lda int, z []float32) {
	po, pa := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(a))
	j, end := 0, len(out)*4
	for ; j+256 <= end; j += 256 {
		at, s0, s1, s2, s3 := j, load16(po, j), load16(po, j+64), load16(po, j+128), load16(po, j+192)
		for _, w := range z {
			x := archsimd.BroadcastFloat32x16(w)
			s0, s1 = load16(pa, at).MulAdd(x, s0), load16(pa, at+64).MulAdd(x, s1)
			s2, s3 = load16(pa, at+128).MulAdd(x, s2), load16(pa, at+192).MulAdd(x, s3)
			at += lda * 4
		}
		store16(po, j, s0)
		store16(po, j+64, s1)
		store16(po, j+128, s2)
		store16(po, j+192, s3)
	}
	for ; j < end; j += 64 {
		at, s := j, load16(po, j)
		for _, w := range z {
			s = load16(pa, at).MulAdd(archsimd.BroadcastFloat32x16(w), s)
			at += lda * 4
		}
		store16(po, j, s)
	}
	archsimd.ClearAVXUpperBits()
}

func dot512(x, y []float32) float32 {
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
	var s0, s1, s2, s3 archsimd.Float32x16
	j, end := 0, len(x)*4
	for ; j+256 <= end; j += 256 {
		s0, s1 = load16(px, j).MulAdd(load16(py, j), s0), load16(px, j+64).MulAdd(load16(py, j+64), s1)
		s2, s3 = load16(px, j+128).MulAdd(load16(py, j+128), s2), load16(px, j+192).MulAdd(load16(py, j+192), s3)
	}
	for ; j < end; j += 64 {
		s0 = load16(px, j).MulAdd(load16(py, j), s0)
	}
	h := half(s0.Add(s1).Add(s2.Add(s3)))
	sum := sum4(h, h, h, h).GetElem(0)
	archsimd.ClearAVXUpperBits()
	return sum
}

func rotate512(x, y []float64, c, s float64) {
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
	cos, sin, less := archsimd.BroadcastFloat64x8(c), archsimd.BroadcastFloat64x8(s), archsimd.BroadcastFloat64x8(-s)
	for j := 0; j < len(x)*8; j += 64 {
		v, w := archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(px, j))), archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(py, j)))
		v.MulAdd(cos, w.Mul(less)).Store((*[8]float64)(unsafe.Add(px, j)))
		w.MulAdd(cos, v.Mul(sin)).Store((*[8]float64)(unsafe.Add(py, j)))
	}
	archsimd.ClearAVXUpperBits()
}

func add512(sum, x []float64, factor float64) {
	ps, px := unsafe.Pointer(unsafe.SliceData(sum)), unsafe.Pointer(unsafe.SliceData(x))
	f := archsimd.BroadcastFloat64x8(factor)
	for j := 0; j < len(sum)*8; j += 64 {
		archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(px, j))).MulAdd(f, archsimd.LoadFloat64x8((*[8]float64)(unsafe.Add(ps, j)))).Store((*[8]float64)(unsafe.Add(ps, j)))
	}
	archsimd.ClearAVXUpperBits()
}
