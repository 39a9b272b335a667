package partition

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"

	"github.com/golang/snappy"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/scratch"
)

// blockBytes is about what a block of a run takes in memory: the merge holds one of each run.
const blockBytes = 128 << 10

// run is sorted rows on the local disk, in blocks that are read one after another.
type run struct {
	file *scratch.File
	size int64
}

// segment is how many of a block's rows are of one partition.
type segment struct {
	part uint32
	rows int
}

// runWriter writes a run.
type runWriter struct {
	file   *scratch.File
	out    *bufio.Writer
	size   int64
	block  []byte
	stored []byte
}

func newRunWriter() (*runWriter, error) {
	file, err := scratch.New()
	if err != nil {
		return nil, err
	}
	return &runWriter{file: file, out: bufio.NewWriterSize(file, 256<<10)}, nil
}

// write appends a block: length, CRC and snappy data of the segments and the columns.
func (w *runWriter) write(segments []segment, b *rowbatch.Batch) error {
	w.block = binary.AppendUvarint(w.block[:0], uint64(len(segments)))
	for _, s := range segments {
		w.block = binary.AppendUvarint(binary.AppendUvarint(w.block, uint64(s.part)), uint64(s.rows))
	}
	for i := range b.Columns {
		w.block = appendColumn(w.block, &b.Columns[i], b.Len())
	}
	w.stored = snappy.Encode(w.stored[:cap(w.stored)], w.block)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(w.stored)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(w.block, castagnoli))
	w.size += int64(len(head) + len(w.stored))
	_, err := w.out.Write(head[:])
	if err == nil {
		_, err = w.out.Write(w.stored)
	}
	if err != nil {
		return fmt.Errorf("sorted rows on the local disk: %w", err)
	}
	return nil
}

func (w *runWriter) close() (run, error) {
	if err := w.out.Flush(); err != nil {
		return run{}, errors.Join(fmt.Errorf("sorted rows on the local disk: %w", err), w.file.Close())
	}
	return run{w.file, w.size}, nil
}

// appendColumn writes integers as their distance from the least, in the fewest bytes that hold all of them.
func appendColumn(dst []byte, c *rowbatch.Column, rows int) []byte {
	if c.Nullable {
		dst = appendBits(dst, c.Nulls)
	}
	switch c.Form {
	case rowbatch.Integers:
		return appendIntegers(dst, c)
	case rowbatch.Floats:
		for _, v := range c.Floats {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
		return dst
	}
	start := uint32(0)
	for _, end := range c.Ends {
		dst = binary.AppendUvarint(dst, uint64(end-start))
		start = end
	}
	return append(dst, c.Data...)
}

func appendBits(dst []byte, list []bool) []byte {
	for i := 0; i < len(list); i += 8 {
		var b byte
		for k, v := range list[i:min(i+8, len(list))] {
			if v {
				b |= 1 << k
			}
		}
		dst = append(dst, b)
	}
	return dst
}

func appendIntegers(dst []byte, c *rowbatch.Column) []byte {
	least, greatest := int64(math.MaxInt64), int64(math.MinInt64)
	for i, v := range c.Ints {
		if !c.Null(i) {
			least, greatest = min(least, v), max(greatest, v)
		}
	}
	if least > greatest { // only NULLs
		least, greatest = 0, 0
	}
	width := (bits.Len64(uint64(greatest)-uint64(least)) + 7) / 8
	dst = append(binary.LittleEndian.AppendUint64(dst, uint64(least)), byte(width))
	at := len(dst)
	dst = append(dst, make([]byte, len(c.Ints)*width+8)...) // 8: each store is a whole word
	for i, v := range c.Ints {
		if c.Null(i) {
			v = least
		}
		binary.LittleEndian.PutUint64(dst[at:], uint64(v)-uint64(least))
		at += width
	}
	return dst[:at]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// runReader reads a run block by block.
type runReader struct {
	run
	offset   int64
	memory   *blockMemory
	rows     *rowbatch.Batch
	segments []segment // of the block, those not passed yet
	at       int       // row of the block
}

// blockMemory is what decoding one block takes; all runs of a merge share it.
type blockMemory struct{ stored, plain []byte }

var errSpill = errors.New("sorted rows on the local disk are not as they were written: the disk or the memory of this machine fails")

// next reads the next block, or returns io.EOF.
func (r *runReader) next() error {
	if r.offset == r.size {
		return io.EOF
	}
	var head [8]byte
	if _, err := r.file.ReadAt(head[:], r.offset); err != nil {
		return errors.Join(errSpill, err)
	}
	size, m := int(binary.LittleEndian.Uint32(head[:])), r.memory
	if int64(size) > r.size-r.offset {
		return errSpill
	}
	if cap(m.stored) < size {
		m.stored = make([]byte, size)
	}
	if _, err := r.file.ReadAt(m.stored[:size], r.offset+int64(len(head))); err != nil {
		return errors.Join(errSpill, err)
	}
	r.offset += int64(len(head) + size)
	var err error
	if m.plain, err = snappy.Decode(m.plain[:cap(m.plain)], m.stored[:size]); err != nil {
		return errors.Join(errSpill, err)
	}
	if crc32.Checksum(m.plain, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return errSpill
	}
	block := m.plain
	count, n := binary.Uvarint(block)
	block = block[n:]
	rows := 0
	r.segments = r.segments[:0]
	for range count {
		part, n := binary.Uvarint(block)
		size, m := binary.Uvarint(block[n:])
		block = block[n+m:]
		r.segments = append(r.segments, segment{uint32(part), int(size)})
		rows += int(size)
	}
	r.rows.Reset()
	r.at = 0
	for i := range r.rows.Columns {
		block = readColumn(&r.rows.Columns[i], block, rows)
	}
	r.rows.SetLen(rows)
	return nil
}

func readColumn(c *rowbatch.Column, block []byte, rows int) []byte {
	if c.Nullable {
		for i := range rows {
			c.Nulls = append(c.Nulls, block[i/8]>>(i%8)&1 == 1)
		}
		block = block[(rows+7)/8:]
	}
	switch c.Form {
	case rowbatch.Integers:
		least, width := int64(binary.LittleEndian.Uint64(block)), int(block[8])
		block = block[9:]
		mask := uint64(1)<<(8*width) - 1 // of all bits for eight bytes: the shift gives 0
		for i := range rows {
			var word [8]byte
			var v uint64
			if at := i * width; len(block)-at >= 8 {
				v = binary.LittleEndian.Uint64(block[at:])
			} else {
				copy(word[:], block[at:])
				v = binary.LittleEndian.Uint64(word[:])
			}
			c.Ints = append(c.Ints, least+int64(v&mask))
		}
		return block[rows*width:]
	case rowbatch.Floats:
		for i := range rows {
			c.Floats = append(c.Floats, math.Float64frombits(binary.LittleEndian.Uint64(block[8*i:])))
		}
		return block[8*rows:]
	}
	end := uint32(0)
	for range rows {
		size, n := binary.Uvarint(block)
		end += uint32(size)
		c.Ends = append(c.Ends, end)
		block = block[n:]
	}
	c.Data = append(c.Data, block[:end]...)
	return block[end:]
}
