package partition

import (
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// Disturb changes rows between reading and sorting, and between sorting and encoding.
func (o Options) Disturb(beforeSort, beforeEncode func(*rowbatch.Batch)) Options {
	o.disturb = disturb{beforeSort, beforeEncode}
	return o
}

// Spill writes rows to the local disk, changes a bit there, and reads them again. It tells the size of the run.
func Spill(cols []schema.Column, b *rowbatch.Batch, at int64, bit byte) (*rowbatch.Batch, int64, error) {
	w, err := newRunWriter()
	if err != nil {
		return nil, 0, err
	}
	if err := w.write([]segment{{0, b.Len()}}, b); err != nil {
		return nil, 0, err
	}
	r, err := w.close()
	if err != nil {
		return nil, 0, err
	}
	defer r.file.Close()
	var stored [1]byte
	if _, err := r.file.ReadAt(stored[:], at); err != nil {
		return nil, 0, err
	}
	if _, err := r.file.WriteAt([]byte{stored[0] ^ bit}, at); err != nil {
		return nil, 0, err
	}
	reader := runReader{run: r, memory: &blockMemory{}, rows: rowbatch.New(cols)}
	return reader.rows, r.size, reader.next()
}
