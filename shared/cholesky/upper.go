package cholesky

import "github.com/millrace/millrace/shared/kernel"

// Stride is the row length that an n×n system with its right side needs in memory; it has kernel.PadTo(n, 4) rows.
func Stride(n int) int { return kernel.PadTo(n+1, kernel.TileColumns) }

// SolveAugmented solves a·x = b in float32. system is [a b], rows of Stride(n): the upper triangle of a (n×n) with b as column n; what
// lies left of the diagonal, right of b and below row n must be finite, and is overwritten with the rest. x has length kernel.PadTo(n,
// kernel.Lanes), its rest becomes zero. It returns bᵀx. Blocks of 32 rows are eliminated, then the rest is brought up to date by tiles,
// which is where the time goes (n³/3 operations).
func SolveAugmented(set *kernel.Set, system []float32, n int, x []float32) (bx float64, err error) {
	stride := Stride(n)
	for done := 0; done < n; done += kernel.BlockRows {
		rows := min(kernel.BlockRows, n-done)
		block := system[done*stride:]
		if !set.Eliminate(block[done:], stride, rows, stride-done) {
			return 0, ErrNotPositiveDefinite
		}
		for i := done + rows; i < n; i += kernel.TileRows {
			for j := i &^ (kernel.TileColumns - 1); j < stride; j += kernel.TileColumns {
				set.AddTile(rows, block[i:], stride, block[j:], stride, true, system[i*stride+j:], stride)
			}
		}
	}
	// Column n is y = U⁻ᵀb now, and bᵀx = bᵀU⁻¹U⁻ᵀb = yᵀy.
	clear(x)
	for k := n - 1; k >= 0; k-- {
		row := system[k*stride : (k+1)*stride]
		y := row[n]
		bx += float64(y) * float64(y)
		from := k &^ (kernel.Lanes - 1) // x is still zero up to k
		x[k] = (y - set.Dot(row[from:len(x)], x[from:])) * row[k]
	}
	return bx, nil
}
