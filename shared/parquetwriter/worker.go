package parquetwriter

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/shared/rowbatch"
)

// worker is the memory that encoding one page takes.
type worker struct {
	body       []byte // the page, plain
	compressed []byte
	zstd       *zstd.Encoder

	// The values of the page without the NULLs, one of these; they may be the column's own.
	ints   []int64
	floats []float64
	texts  texts

	intBuffer   []int64
	floatBuffer []float64
	endBuffer   []uint32
	startBuffer []uint32
	indexes     []int32
}

// texts are byte strings; a NULL's is not among them.
type texts struct {
	data         []byte
	starts, ends []uint32
}

func (t *texts) len() int        { return len(t.ends) }
func (t *texts) at(i int) []byte { return t.data[t.starts[i]:t.ends[i]] }

func newWorker() (*worker, error) {
	// Pages are compressed whole; a larger window than a page would only take memory.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstdLevel), zstd.WithWindowSize(pageBytes))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return &worker{zstd: encoder}, nil
}

// zstdLevel writes half a percent more than the default level: see docs/decisions.md.
const zstdLevel = zstd.SpeedFastest

// values is how many there are besides NULLs.
func (w *worker) values() int { return len(w.ints) + len(w.floats) + w.texts.len() }

// present finds the values that are not NULL.
func (w *worker) present(c *rowbatch.Column) {
	w.ints, w.floats, w.texts = c.Ints, c.Floats, texts{}
	if c.Form == rowbatch.Texts {
		w.presentTexts(c)
		return
	}
	if !slices.Contains(c.Nulls, true) {
		return
	}
	w.intBuffer, w.floatBuffer = w.intBuffer[:0], w.floatBuffer[:0]
	for i, null := range c.Nulls {
		if null {
			continue
		}
		if c.Form == rowbatch.Integers {
			w.intBuffer = append(w.intBuffer, c.Ints[i])
		} else {
			w.floatBuffer = append(w.floatBuffer, c.Floats[i])
		}
	}
	w.ints, w.floats = w.intBuffer, w.floatBuffer
}

func (w *worker) presentTexts(c *rowbatch.Column) {
	w.startBuffer, w.endBuffer = w.startBuffer[:0], w.endBuffer[:0]
	start := uint32(0)
	for i, end := range c.Ends {
		if !c.Null(i) {
			w.startBuffer, w.endBuffer = append(w.startBuffer, start), append(w.endBuffer, end)
		}
		start = end
	}
	w.texts = texts{c.Data, w.startBuffer, w.endBuffer}
}
