package als

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/kernel"
)

// panelRows of the fixed factors are packed at a time when a system is d×d: a tile then reads two strips of 8 KiB, which stay in a
// core's first-level cache.
const panelRows = 64

// workspace is the memory of one core.
type workspace struct {
	set    *kernel.Set
	panel  []float32 // packed rows of the fixed factors, panelStride(d) apart
	system []float32 // the row's equations with their right side, see package cholesky
	roots  []float32 // √w of the packed rows
	scale  []float32 // 1/√D_j for rows of length scaled
	scaled int
	sum, x []float32
}

// panelStride leaves a cache line between rows: without it those of a power of two share one set of the first-level cache.
func panelStride(d int) int { return kernel.PadTo(d, kernel.TileColumns) + kernel.Lanes }

// systemSize is the length of a d×d system with its right side.
func systemSize(d int) int { return kernel.PadTo(d, kernel.TileRows) * cholesky.Stride(d) }

// rowsInPanel: the shorter of the two systems needs all rows at once.
func rowsInPanel(d, longest int) int {
	return max(kernel.PadTo(min(longest, d), kernel.TileRows), panelRows)
}

// workspaceSize is the number of float32 in a workspace for rows of up to longest interactions.
func workspaceSize(d, longest int) int {
	rows := rowsInPanel(d, longest)
	return rows*(panelStride(d)+1) + max(systemSize(d), systemSize(min(longest, d))) + d + 2*kernel.PadTo(d, kernel.TileColumns)
}

func newWorkspace(set *kernel.Set, d, longest int) *workspace {
	rows := rowsInPanel(d, longest)
	return &workspace{
		set:    set,
		panel:  make([]float32, rows*panelStride(d)),
		system: make([]float32, max(systemSize(d), systemSize(min(longest, d)))),
		roots:  make([]float32, rows),
		scale:  make([]float32, d),
		sum:    make([]float32, kernel.PadTo(d, kernel.TileColumns)),
		x:      make([]float32, kernel.PadTo(d, kernel.TileColumns)),
	}
}

// equations of one side: with the axes turned to the principal ones of the fixed factors, α0·G is diagonal.
type equations struct {
	d          int
	fixed, out []float32
	base       []float32 // diagonal of α0·G
	alpha0     float64
	lambda     float64
	all        int // rows of fixed
}

func (e *equations) ridge(n int) float64 { return e.lambda * (float64(n) + e.alpha0*float64(e.all)) }

// solved sums over rows what the loss is made of.
type solved struct {
	loss           float64 // of the rows: everything that depends on them
	regularization float64 // the part of it that is λ(|S_r| + α0·n)‖x‖²
}

func (s *solved) add(other solved) {
	s.loss += other.loss
	s.regularization += other.regularization
}

// solveRow sets row r of out to the minimum of the loss with the other side fixed:
//
//	(D + VᵀWV) x = VᵀW·1        D = α0·G + λ(|S_r| + α0·n)·I, diagonal;  V the fixed factors of S_r, W their weights
//
// With P = √W·V·D^-½ that is D^½x = (I + PᵀP)⁻¹Pᵀ√w = Pᵀ(I + PPᵀ)⁻¹√w, so the system has the smaller of d and |S_r|
// rows. On sparse data most rows have fewer than d interactions, and cost |S_r|²·d instead of |S_r|·d² + d³/3.
// At the minimum of a quadratic the loss follows from the right side b: Σw − bᵀx, or in the second form √wᵀ(I + PPᵀ)⁻¹√w.
func (w *workspace) solveRow(e *equations, r int32, columns []int32, weights []float32, next []int32) (solved, error) {
	out := e.out[int(r)*e.d : (int(r)+1)*e.d]
	var loss float64
	var err error
	if len(columns) < e.d {
		loss, err = w.solveShort(e, out, columns, weights, next)
	} else {
		clear(w.system)
		clear(w.sum)
		w.addOuterProducts(w.system, w.sum, e.fixed, e.d, columns, weights, 0, len(columns))
		loss, err = w.solveLong(e, out, w.system, w.sum, weights)
	}
	if err != nil {
		return solved{}, fmt.Errorf("row %d: %w", r, err)
	}
	return solved{loss: loss, regularization: e.ridge(len(columns)) * float64(w.set.Dot(out, out))}, nil
}

func (w *workspace) solveShort(e *equations, out []float32, columns []int32, weights []float32, next []int32) (loss float64, err error) {
	n, d := len(columns), e.d
	if n != w.scaled { // rows come in the order of their length
		ridge := e.ridge(n)
		for j, b := range e.base {
			w.scale[j] = float32(1 / math.Sqrt(float64(b)+ridge))
		}
		w.scaled = n
	}
	stride, length := panelStride(d), kernel.PadTo(d, kernel.Lanes)
	for k, c := range columns {
		w.roots[k] = float32(math.Sqrt(float64(weights[k])))
		w.set.Scale(w.panel[k*stride:k*stride+length], row(e.fixed, d, c), w.scale, w.roots[k])
	}
	ld := cholesky.Stride(n)
	system := w.system[:kernel.PadTo(n, kernel.TileRows)*ld]
	clear(system)
	for i := 0; i < n; i += kernel.DotRows {
		for _, c := range next[min(i, len(next)):min(i+kernel.DotRows, len(next))] {
			kernel.Prefetch(row(e.fixed, d, c))
		}
		for j := i &^ (kernel.DotColumns - 1); j < n; j += kernel.DotColumns {
			w.set.Dots(length, w.panel[i*stride:], stride, w.panel[j*stride:], stride, system[i*ld+j:], ld)
		}
	}
	for k := range n {
		system[k*ld+k]++
		system[k*ld+n] = w.roots[k]
	}
	z := w.x[:kernel.PadTo(n, kernel.Lanes)]
	if loss, err = cholesky.SolveAugmented(w.set, system, n, z); err != nil {
		return 0, err
	}
	sum := w.sum[:length]
	clear(sum)
	w.set.Combine(sum, w.panel, stride, z[:n])
	w.set.Scale(out, sum[:d], w.scale, 1)
	return loss, nil
}

// solveLong takes VᵀWV and VᵀW·1 and overwrites them.
func (w *workspace) solveLong(e *equations, out, system, right []float32, weights []float32) (loss float64, err error) {
	stride, ridge := cholesky.Stride(e.d), e.ridge(len(weights))
	for j, b := range e.base {
		system[j*stride+j] += float32(float64(b) + ridge)
		system[j*stride+e.d] = right[j]
	}
	for _, x := range weights {
		loss += float64(x)
	}
	x := w.x[:kernel.PadTo(e.d, kernel.Lanes)]
	bx, err := cholesky.SolveAugmented(w.set, system, e.d, x)
	if err != nil {
		return 0, err
	}
	copy(out, x)
	return loss - bx, nil
}

// addOuterProducts adds Σ_k w_k·v_k·v_kᵀ to system (its upper triangle) and Σ_k w_k·v_k to right, over from ≤ k < to, where v_k is row
// columns[k] of fixed. Without columns it is row k, and without weights w_k is 1.
func (w *workspace) addOuterProducts(system, right, fixed []float32, d int, columns []int32, weights []float32, from, to int) {
	padded, ld := kernel.PadTo(d, kernel.TileColumns), cholesky.Stride(d)
	const strip = panelRows * kernel.TileColumns
	for ; from < to; from += panelRows {
		rows := min(panelRows, to-from)
		for k := range rows {
			c, root := int32(from+k), float32(1)
			if columns != nil {
				c = columns[from+k]
			}
			if weights != nil {
				root = float32(math.Sqrt(float64(weights[from+k])))
			}
			w.roots[k] = root
			w.set.Pack(w.panel[k*kernel.TileColumns:], strip, row(fixed, d, c), root)
		}
		for j := 0; j < padded; j += kernel.TileColumns {
			b := w.panel[j*panelRows:]
			if columns != nil { // the part of the next panel that this strip's share of the work gives time for
				ahead := from + rows
				upTo := min(panelRows, to-ahead)
				for _, c := range columns[ahead+upTo*j/padded : ahead+upTo*(j+kernel.TileColumns)/padded] {
					kernel.Prefetch(row(fixed, d, c))
				}
			}
			if right != nil {
				w.set.Combine(right[j:j+kernel.TileColumns], b, kernel.TileColumns, w.roots[:rows])
			}
			for i := 0; i < min(j+kernel.TileColumns, d); i += kernel.TileRows {
				a := w.panel[i/kernel.TileColumns*strip+i%kernel.TileColumns:]
				w.set.AddTile(rows, a, kernel.TileColumns, b, kernel.TileColumns, false, system[i*ld+j:], ld)
			}
		}
	}
}

func row(matrix []float32, d int, r int32) []float32 { return matrix[int(r)*d : (int(r)+1)*d] }
