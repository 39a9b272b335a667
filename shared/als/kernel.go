package als

import "context"

// addOuterProducts adds Σ_k weights[k]·v_k·v_kᵀ to the lower triangle of system (d×d), where v_k is row columns[k] of fixed.
// Four rows at a time: each element of the system is then loaded and stored once for four products.
func addOuterProducts(system, fixed []float32, d int, columns []int32, weights []float32) {
	k := 0
	for ; k+4 <= len(columns); k += 4 {
		v0, v1 := row(fixed, d, columns[k]), row(fixed, d, columns[k+1])
		v2, v3 := row(fixed, d, columns[k+2]), row(fixed, d, columns[k+3])
		w0, w1, w2, w3 := weights[k], weights[k+1], weights[k+2], weights[k+3]
		for i := range d {
			addScaled4(system[i*d:i*d+i+1], v0, v1, v2, v3, w0*v0[i], w1*v1[i], w2*v2[i], w3*v3[i])
		}
	}
	for ; k < len(columns); k++ {
		v, w := row(fixed, d, columns[k]), weights[k]
		for i := range d {
			addScaled(system[i*d:i*d+i+1], v, w*v[i])
		}
	}
}

// addWeightedRows adds Σ_k weights[k]·v_k to x.
func addWeightedRows(x, fixed []float32, d int, columns []int32, weights []float32) {
	for k, c := range columns {
		addScaled(x, row(fixed, d, c), weights[k])
	}
}

func row(matrix []float32, d int, r int32) []float32 { return matrix[int(r)*d : (int(r)+1)*d] }

// addScaled adds c·v to sum, over the length of sum.
func addScaled(sum, v []float32, c float32) {
	v = v[:len(sum)]
	for j := range sum {
		sum[j] += c * v[j]
	}
}

func addScaled4(sum, v0, v1, v2, v3 []float32, c0, c1, c2, c3 float32) {
	v0, v1, v2, v3 = v0[:len(sum)], v1[:len(sum)], v2[:len(sum)], v3[:len(sum)]
	for j := range sum {
		sum[j] += (c0*v0[j] + c1*v1[j]) + (c2*v2[j] + c3*v3[j])
	}
}

// gramianParts is fixed, not the number of cores: the order of the final additions, and so the result to the last
// bit, must not depend on the machine.
const gramianParts = 16

// Gramian returns matrixᵀ·matrix (d×d, both triangles) for a row-major matrix with rows of length d.
func Gramian(matrix []float32, d int) []float32 {
	rows := len(matrix) / d
	parts := min(gramianParts, (rows+blockRows-1)/blockRows)
	sum := make([]float32, d*d)
	sums := make([][]float32, parts)
	// Scaled by blockRows because eachBlock hands out blocks of that many: one part a block. No error is possible.
	_ = eachBlock(context.Background(), parts*blockRows, func() func(from, to int) error {
		return func(from, _ int) error {
			part := from / blockRows
			own := make([]float32, d*d)
			r, end := part*rows/parts, (part+1)*rows/parts
			for ; r+4 <= end; r += 4 {
				v := matrix[r*d : (r+4)*d]
				v0, v1, v2, v3 := v[:d], v[d:2*d], v[2*d:3*d], v[3*d:]
				for i := range d {
					addScaled4(own[i*d:i*d+i+1], v0, v1, v2, v3, v0[i], v1[i], v2[i], v3[i])
				}
			}
			for ; r < end; r++ {
				v := matrix[r*d : (r+1)*d]
				for i := range d {
					addScaled(own[i*d:i*d+i+1], v, v[i])
				}
			}
			sums[part] = own
			return nil
		}
	})
	for _, own := range sums {
		addScaled(sum, own, 1)
	}
	for i := range d {
		for j := range i {
			sum[j*d+i] = sum[i*d+j]
		}
	}
	return sum
}
