//go:build amd64 && goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The loops of avx512 in vectors of 8; a tile takes two passes of 16 columns, for the same 15 registers.
var avx2 = Set{
	Name: "avx2", Gigaflops: 45,
	addTile: addTile256, dots: dots256, eliminate: eliminate256, scale: scale256, pack: pack256, combine: combine256, dot: dot256,
	rotate: rotate256, add: add256,
}

func load8(p unsafe.Pointer, offset int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(p, offset)))
}

func store8(p unsafe.Pointer, offset int, v archsimd.Float32x8) {
	v.Store((*[8]float32)(unsafe.Add(p, offset)))
}

func addTile256(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int) {
	addHalfTile256(k, a, lda, b, ldb, subtract, c, ldc)
	addHalfTile256(k, a, lda, b[TileColumns/2:], ldb, subtract, c[TileColumns/2:], ldc)
	archsimd.ClearAVXUpperBits()
}

// addHalfTile256 is a function of its own because in a loop of two passes the compiler keeps the zero of the sums in a sixteenth register.
//
//go:noinline
func addHalfTile256(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int) {
	pa, pb := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float32x8
	for i, j := 0, 0; k > 0; k-- {
		b0, b1 := load8(pb, j), load8(pb, j+32)
		row := (*[4]float32)(unsafe.Add(pa, i))
		x := archsimd.BroadcastFloat32x8(row[0])
		c00, c01 = x.MulAdd(b0, c00), x.MulAdd(b1, c01)
		x = archsimd.BroadcastFloat32x8(row[1])
		c10, c11 = x.MulAdd(b0, c10), x.MulAdd(b1, c11)
		x = archsimd.BroadcastFloat32x8(row[2])
		c20, c21 = x.MulAdd(b0, c20), x.MulAdd(b1, c21)
		x = archsimd.BroadcastFloat32x8(row[3])
		c30, c31 = x.MulAdd(b0, c30), x.MulAdd(b1, c31)
		i, j = i+lda*4, j+ldb*4
	}
	p := unsafe.Pointer(unsafe.SliceData(c))
	if subtract {
		store8(p, 0, load8(p, 0).Sub(c00))
		store8(p, 32, load8(p, 32).Sub(c01))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Sub(c10))
		store8(p, 32, load8(p, 32).Sub(c11))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Sub(c20))
		store8(p, 32, load8(p, 32).Sub(c21))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Sub(c30))
		store8(p, 32, load8(p, 32).Sub(c31))
	} else {
		store8(p, 0, load8(p, 0).Add(c00))
		store8(p, 32, load8(p, 32).Add(c01))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Add(c10))
		store8(p, 32, load8(p, 32).Add(c11))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Add(c20))
		store8(p, 32, load8(p, 32).Add(c21))
		p = unsafe.Add(p, ldc*4)
		store8(p, 0, load8(p, 0).Add(c30))
		store8(p, 32, load8(p, 32).Add(c31))
	}
}

func dots256(n int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	a0, b0 := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	a1, b1 := unsafe.Add(a0, lda*4), unsafe.Add(b0, ldb*4)
	b2, b3 := unsafe.Add(b0, ldb*8), unsafe.Add(b0, ldb*12)
	var c00, c01, c02, c03, c10, c11, c12, c13 archsimd.Float32x8
	for i := 0; i < n*4; i += 32 {
		x, y := load8(a0, i), load8(a1, i)
		v := load8(b0, i)
		c00, c10 = v.MulAdd(x, c00), v.MulAdd(y, c10)
		v = load8(b1, i)
		c01, c11 = v.MulAdd(x, c01), v.MulAdd(y, c11)
		v = load8(b2, i)
		c02, c12 = v.MulAdd(x, c02), v.MulAdd(y, c12)
		v = load8(b3, i)
		c03, c13 = v.MulAdd(x, c03), v.MulAdd(y, c13)
	}
	p := unsafe.Pointer(unsafe.SliceData(c))
	sum4(c00, c01, c02, c03).Store((*[4]float32)(p))
	sum4(c10, c11, c12, c13).Store((*[4]float32)(unsafe.Add(p, ldc*4)))
	archsimd.ClearAVXUpperBits()
}

func eliminate256(a []float32, lda, rows, columns int) bool {
	p, ld, end := unsafe.Pointer(unsafe.SliceData(a)), lda*4, columns*4
	for k := range rows {
		row := unsafe.Add(p, k*ld)
		diagonal := (*float32)(unsafe.Add(row, k*4))
		inverse, ok := inverseRoot(*diagonal)
		if !ok {
			archsimd.ClearAVXUpperBits()
			return false
		}
		x := archsimd.BroadcastFloat32x8(inverse)
		for j := k &^ 7 * 4; j < end; j += 32 {
			store8(row, j, load8(row, j).Mul(x))
		}
		other := row
		for i := k + 1; i < rows; i++ {
			other = unsafe.Add(other, ld)
			x := archsimd.BroadcastFloat32x8(-*(*float32)(unsafe.Add(row, i*4)))
			for j := i &^ 7 * 4; j < end; j += 32 {
				store8(other, j, load8(row, j).MulAdd(x, load8(other, j)))
			}
		}
		*diagonal = inverse
	}
	archsimd.ClearAVXUpperBits()
	return true
}

func scale256(out, v, by []float32, factor float32) {
	po, pv, pb := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(v)), unsafe.Pointer(unsafe.SliceData(by))
	x := archsimd.BroadcastFloat32x8(factor)
	for j := 0; j < len(out)*4; j += 32 {
		store8(po, j, x.Mul(load8(pv, j)).Mul(load8(pb, j)))
	}
	archsimd.ClearAVXUpperBits()
}

func pack256(out []float32, group int, v []float32, factor float32) {
	po, pv := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(v))
	x := archsimd.BroadcastFloat32x8(factor)
	for i, j := 0, 0; j < len(v)*4; i, j = i+group*4, j+TileColumns*4 {
		store8(po, i, x.Mul(load8(pv, j)))
		store8(po, i+32, x.Mul(load8(pv, j+32)))
		store8(po, i+64, x.Mul(load8(pv, j+64)))
		store8(po, i+96, x.Mul(load8(pv, j+96)))
	}
	archsimd.ClearAVXUpperBits()
}

func combine256(out, a []float32, lda int, z []float32) {
	po, pa := unsafe.Pointer(unsafe.SliceData(out)), unsafe.Pointer(unsafe.SliceData(a))
	j, end := 0, len(out)*4
	for ; j+128 <= end; j += 128 {
		at, s0, s1, s2, s3 := j, load8(po, j), load8(po, j+32), load8(po, j+64), load8(po, j+96)
		for _, w := range z {
			x := archsimd.BroadcastFloat32x8(w)
			s0, s1 = load8(pa, at).MulAdd(x, s0), load8(pa, at+32).MulAdd(x, s1)
			s2, s3 = load8(pa, at+64).MulAdd(x, s2), load8(pa, at+96).MulAdd(x, s3)
			at += lda * 4
		}
		store8(po, j, s0)
		store8(po, j+32, s1)
		store8(po, j+64, s2)
		store8(po, j+96, s3)
	}
	for ; j < end; j += 32 {
		at, s := j, load8(po, j)
		for _, w := range z {
			s = load8(pa, at).MulAdd(archsimd.BroadcastFloat32x8(w), s)
			at += lda * 4
		}
		store8(po, j, s)
	}
	archsimd.ClearAVXUpperBits()
}

func dot256(x, y []float32) float32 {
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
	var s0, s1, s2, s3 archsimd.Float32x8
	j, end := 0, len(x)*4
	for ; j+128 <= end; j += 128 {
		s0, s1 = load8(px, j).MulAdd(load8(py, j), s0), load8(px, j+32).MulAdd(load8(py, j+32), s1)
		s2, s3 = load8(px, j+64).MulAdd(load8(py, j+64), s2), load8(px, j+96).MulAdd(load8(py, j+96), s3)
	}
	for ; j < end; j += 32 {
		s0 = load8(px, j).MulAdd(load8(py, j), s0)
	}
	h := s0.Add(s1).Add(s2.Add(s3))
	sum := sum4(h, h, h, h).GetElem(0)
	archsimd.ClearAVXUpperBits()
	return sum
}

func rotate256(x, y []float64, c, s float64) {
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
	cos, sin, less := archsimd.BroadcastFloat64x4(c), archsimd.BroadcastFloat64x4(s), archsimd.BroadcastFloat64x4(-s)
	for j := 0; j < len(x)*8; j += 32 {
		v, w := archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(px, j))), archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(py, j)))
		v.MulAdd(cos, w.Mul(less)).Store((*[4]float64)(unsafe.Add(px, j)))
		w.MulAdd(cos, v.Mul(sin)).Store((*[4]float64)(unsafe.Add(py, j)))
	}
	archsimd.ClearAVXUpperBits()
}

func add256(sum, x []float64, factor float64) {
	ps, px := unsafe.Pointer(unsafe.SliceData(sum)), unsafe.Pointer(unsafe.SliceData(x))
	f := archsimd.BroadcastFloat64x4(factor)
	for j := 0; j < len(sum)*8; j += 32 {
		archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(px, j))).MulAdd(f, archsimd.LoadFloat64x4((*[4]float64)(unsafe.Add(ps, j)))).Store((*[4]float64)(unsafe.Add(ps, j)))
	}
	archsimd.ClearAVXUpperBits()
}
