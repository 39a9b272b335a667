package als

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/cholesky"
	"github.com/millrace/millrace/shared/eigen"
	"github.com/millrace/millrace/shared/kernel"
)

// memory is what a pass works in; nothing is allocated per row, nor, after the first, per pass.
type memory struct {
	set        *kernel.Set
	d, longest int
	workspaces []*workspace
	parts      []part
	eigen      *eigen.Solver
	rotation   []float32 // column j is eigenvector j; in strips of TileColumns columns of d rows, as tiles read them
	base       []float32
	solved     []solved // of each task
}

// part is a share of a sum of outer products.
type part struct{ system, right []float32 }

// maxParts is fixed, and not the number of cores, because the order of the final additions, and so the result to the
// last bit, must not depend on the machine. More cores than this do not speed up a heavy row or a Gramian.
const maxParts = 16

// partsOf is in how many parts a sum of rows outer products is done. A part has so many rows that its d² sums are little beside them:
// all parts of a Gramian together take at most a quarter of the memory of the factors they are summed from.
func partsOf(rows, d int) int { return max(1, min(maxParts, rows/(4*d))) }

func newMemory(set *kernel.Set, d, longest, parts, tasks int) *memory {
	m := &memory{
		set: set, d: d, longest: longest,
		parts: make([]part, parts), rotation: make([]float32, d*kernel.PadTo(d, kernel.TileColumns)), base: make([]float32, d), solved: make([]solved, tasks),
	}
	for k := range m.parts {
		m.parts[k] = part{make([]float32, systemSize(d)), make([]float32, kernel.PadTo(d, kernel.TileColumns))}
	}
	for range runtime.GOMAXPROCS(0) {
		m.workspaces = append(m.workspaces, newWorkspace(set, d, longest))
	}
	return m
}

// each runs do for every task on all cores; a core takes the next task when it has done one. It stops at the first error or when the context ends.
func (m *memory) each(ctx context.Context, tasks int, do func(w *workspace, task int) error) error {
	cores := runtime.GOMAXPROCS(0)
	for len(m.workspaces) < cores {
		m.workspaces = append(m.workspaces, newWorkspace(m.set, m.d, m.longest))
	}
	var (
		group sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
	)
	work := func(w *workspace) {
		for {
			task := int(next.Add(1)) - 1
			if task >= tasks {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = do(w, task)
			}
			if err != nil {
				once.Do(func() { first = err })
				next.Store(int64(tasks))
				return
			}
		}
	}
	for c := range min(cores, tasks) {
		group.Go(func() { work(m.workspaces[c]) })
	}
	group.Wait()
	return first
}

// sumOuterProducts is workspace.addOuterProducts on all cores, over n rows. The result belongs to the memory.
func (m *memory) sumOuterProducts(ctx context.Context, fixed []float32, columns []int32, weights []float32, n int) (part, error) {
	parts := m.parts[:partsOf(n, m.d)]
	err := m.each(ctx, len(parts), func(w *workspace, k int) error {
		p := parts[k]
		clear(p.system)
		clear(p.right)
		w.addOuterProducts(p.system, p.right, fixed, m.d, columns, weights, k*n/len(parts), (k+1)*n/len(parts))
		return nil
	})
	for _, p := range parts[1:] {
		for k, x := range p.system {
			parts[0].system[k] += x
		}
		for k, x := range p.right {
			parts[0].right[k] += x
		}
	}
	return parts[0], err
}

// Gramian returns matrixᵀ·matrix (d×d, both triangles) for a row-major matrix with rows of length d.
func Gramian(matrix []float32, d int) []float32 {
	rows := len(matrix) / d
	m := newMemory(kernel.Fastest(), d, 0, partsOf(rows, d), 0)
	// No error is possible: the context does not end.
	sum, _ := m.sumOuterProducts(context.Background(), matrix, nil, nil, rows)
	stride, gramian := cholesky.Stride(d), make([]float32, d*d)
	for i := range d {
		for j := i; j < d; j++ {
			gramian[i*d+j] = sum.system[i*stride+j]
			gramian[j*d+i] = gramian[i*d+j]
		}
	}
	return gramian
}

// turn takes the axes to the principal ones of matrix, whose Gramian is then diagonal, and leaves α0 times that in m.base.
func (m *memory) turn(ctx context.Context, matrix []float32, alpha0 float64) error {
	d, rows := m.d, len(matrix)/m.d
	gramian, err := m.sumOuterProducts(ctx, matrix, nil, nil, rows)
	if err != nil {
		return err
	}
	if m.eigen == nil {
		m.eigen = eigen.New(m.set, d)
	}
	stride, lower := cholesky.Stride(d), m.eigen.Matrix()
	for i := range d {
		for j := range i + 1 {
			lower[i*d+j] = float64(gramian.system[j*stride+i])
		}
	}
	err = m.eigen.Decompose(func(parts int, do func(part int)) {
		// No error is possible: the context does not end.
		_ = m.each(context.Background(), parts, func(_ *workspace, part int) error {
			do(part)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("Gramian: %w", err)
	}
	for j, value := range m.eigen.Values {
		m.base[j] = float32(alpha0 * max(0, value)) // rounding may take a value that is zero below it
		for i := range d {
			m.rotation[(j/kernel.TileColumns*d+i)*kernel.TileColumns+j%kernel.TileColumns] = float32(m.eigen.Vector(j, i))
		}
	}
	blocks := (rows + rotatedRows - 1) / rotatedRows
	return m.each(ctx, blocks, func(w *workspace, block int) error {
		w.rotate(matrix[block*rotatedRows*d:min((block+1)*rotatedRows, rows)*d], d, m.rotation)
		return nil
	})
}

// rotatedRows at a time: half of the panel holds them, packed for the tiles, the other half their product.
const rotatedRows = panelRows / 2

func (w *workspace) rotate(rows []float32, d int, rotation []float32) {
	n, stride := len(rows)/d, panelStride(d)
	packed, product := w.panel[:rotatedRows*stride], w.panel[rotatedRows*stride:2*rotatedRows*stride]
	clear(packed)
	clear(product)
	for r := range n {
		group := packed[r/kernel.TileRows*kernel.TileRows*d:]
		for k, x := range rows[r*d : (r+1)*d] {
			group[k*kernel.TileRows+r%kernel.TileRows] = x
		}
	}
	for j := 0; j < d; j += kernel.TileColumns {
		for r := 0; r < n; r += kernel.TileRows {
			w.set.AddTile(d, packed[r*d:], kernel.TileRows, rotation[j*d:], kernel.TileColumns, false, product[r*stride+j:], stride)
		}
	}
	for r := range n {
		copy(rows[r*d:(r+1)*d], product[r*stride:])
	}
}

// solveSide solves every row of out with fixed as it is but for the axes, which it turns. Rows do not depend on each other, and all
// sums are taken in an order that the data decides, so the number of cores changes nothing in the result.
func (s *Solver) solveSide(ctx context.Context, rows *side, fixed, out []float32) (solved, error) {
	m := s.memory
	if err := m.turn(ctx, fixed, s.cfg.Alpha0); err != nil {
		return solved{}, err
	}
	e := &equations{
		d: m.d, fixed: fixed, out: out, base: m.base,
		alpha0: s.cfg.Alpha0, lambda: s.cfg.Lambda, all: rows.matrix.Items,
	}
	var sum solved
	for _, r := range rows.order[:rows.heavy] {
		columns, weights := rows.matrix.Row(int(r))
		p, err := m.sumOuterProducts(ctx, fixed, columns, weights, len(columns))
		if err != nil {
			return solved{}, err
		}
		x := out[int(r)*m.d : (int(r)+1)*m.d]
		loss, err := m.workspaces[0].solveLong(e, x, p.system, p.right, weights)
		if err != nil {
			return solved{}, fmt.Errorf("row %d: %w", r, err)
		}
		sum.add(solved{loss: loss, regularization: e.ridge(len(columns)) * float64(m.set.Dot(x, x))})
	}
	results := m.solved[:len(rows.tasks)-1]
	err := m.each(ctx, len(results), func(w *workspace, task int) error {
		w.scaled = 0 // the last pass had other scales
		results[task] = solved{}
		order := rows.order[rows.tasks[task]:rows.tasks[task+1]]
		for k, r := range order {
			columns, weights := rows.matrix.Row(int(r))
			next, _ := rows.matrix.Row(int(order[min(k+1, len(order)-1)]))
			one, err := w.solveRow(e, r, columns, weights, next)
			if err != nil {
				return err
			}
			results[task].add(one)
		}
		return nil
	})
	for _, r := range results {
		sum.add(r)
	}
	if err == nil && (math.IsNaN(sum.loss) || math.IsInf(sum.loss, 0)) {
		err = ErrNoSolution
	}
	return sum, err
}
