package kernel

import "math"

var portable = Set{
	Name: "portable", Gigaflops: 4,
	addTile: addTile, dots: dots, eliminate: eliminate, scale: scale, pack: pack, combine: combine, dot: dot,
	rotate: rotate, add: add,
}

func addTile(k int, a []float32, lda int, b []float32, ldb int, subtract bool, c []float32, ldc int) {
	sign := float32(1)
	if subtract {
		sign = -1
	}
	// Two by two columns: four sums and what they need stay in registers.
	for i := 0; i < TileRows; i += 2 {
		for j := 0; j < TileColumns; j += 2 {
			var s00, s01, s10, s11 float32
			for p := range k {
				x, y := a[p*lda+i:p*lda+i+2], b[p*ldb+j:p*ldb+j+2]
				s00 += x[0] * y[0]
				s01 += x[0] * y[1]
				s10 += x[1] * y[0]
				s11 += x[1] * y[1]
			}
			upper, lower := c[i*ldc+j:i*ldc+j+2], c[(i+1)*ldc+j:(i+1)*ldc+j+2]
			upper[0] += sign * s00
			upper[1] += sign * s01
			lower[0] += sign * s10
			lower[1] += sign * s11
		}
	}
}

func dots(n int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	a0, a1 := a[:n], a[lda:lda+n]
	for j := 0; j < DotColumns; j += 2 {
		b0, b1 := b[j*ldb:j*ldb+n], b[(j+1)*ldb:(j+1)*ldb+n]
		var s00, s01, s10, s11 float32
		for p, x := range a0 {
			y := a1[p]
			s00 += x * b0[p]
			s01 += x * b1[p]
			s10 += y * b0[p]
			s11 += y * b1[p]
		}
		c[j], c[j+1], c[ldc+j], c[ldc+j+1] = s00, s01, s10, s11
	}
}

func eliminate(a []float32, lda, rows, columns int) bool {
	for k := range rows {
		inverse, ok := inverseRoot(a[k*lda+k])
		if !ok {
			return false
		}
		row := a[k*lda+k : k*lda+columns]
		for j := range row {
			row[j] *= inverse
		}
		for i := k + 1; i < rows; i++ {
			other := a[i*lda+i : i*lda+columns]
			from, x := row[i-k:][:len(other)], row[i-k]
			for j := range other {
				other[j] -= x * from[j]
			}
		}
		row[0] = inverse
	}
	return true
}

func inverseRoot(pivot float32) (float32, bool) {
	return 1 / float32(math.Sqrt(float64(pivot))), pivot > 0 && pivot <= math.MaxFloat32
}

func scale(out, v, by []float32, factor float32) {
	v, by = v[:len(out)], by[:len(out)]
	for j := range out {
		out[j] = factor * v[j] * by[j]
	}
}

func pack(out []float32, group int, v []float32, factor float32) {
	for j := 0; j < len(v); j += TileColumns {
		to := out[j/TileColumns*group:][:TileColumns]
		for k, x := range v[j : j+TileColumns] {
			to[k] = factor * x
		}
	}
}

func combine(out, a []float32, lda int, z []float32) {
	// Four rows at a time: out is loaded and stored once for four products.
	for ; len(z) >= 4; a, z = a[min(4*lda, len(a)):], z[4:] {
		r0, r1, r2, r3 := a[:len(out)], a[lda:][:len(out)], a[2*lda:][:len(out)], a[3*lda:][:len(out)]
		z0, z1, z2, z3 := z[0], z[1], z[2], z[3]
		for j := range out {
			out[j] += (z0*r0[j] + z1*r1[j]) + (z2*r2[j] + z3*r3[j])
		}
	}
	for k, x := range z {
		row := a[k*lda:][:len(out)]
		for j := range out {
			out[j] += x * row[j]
		}
	}
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	for i := 0; i+4 <= len(x); i += 4 {
		a, b := x[i:i+4:i+4], y[i:i+4:i+4]
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	return (s0 + s1) + (s2 + s3)
}

func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for j, v := range x {
		w := y[j]
		x[j], y[j] = c*v-s*w, s*v+c*w
	}
}

func add(sum, x []float64, factor float64) {
	x = x[:len(sum)]
	for j := range sum {
		sum[j] += factor * x[j]
	}
}
