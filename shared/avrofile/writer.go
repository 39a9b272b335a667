// Package avrofile writes and reads tables as Avro object container files (snappy), the
// landing format: each block stands alone, the types survive, and it is the cheapest
// standard format to re-encode.
package avrofile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/golang/snappy"
	"github.com/hamba/avro/v2"

	"github.com/millrace/millrace/shared/schema"
)

// columnsKey holds the exact columns (JSON) in the file's metadata: Avro's own types cannot
// say smallint, varchar(15) or datetime(3).
const columnsKey = "millrace.columns"

// A block is what a reader holds in memory: it ends after this many rows or bytes, whichever
// comes first. 64 KiB already compresses as well as 1 MiB does, to 1 %.
const (
	blockRows  = 4096
	blockBytes = 64 << 10
	// blockHeader is room for two numbers in front of the data.
	blockHeader = 2 * binary.MaxVarintLen64
)

// Writer appends rows to one file. The same rows give the same bytes, so a retried
// extraction writes the same object; the framing is written here because hamba/avro writes
// the header's metadata in Go's random map order.
type Writer struct {
	cols  []schema.Column
	dst   io.Writer
	sync  [16]byte
	block []byte
	frame []byte
	rows  int64
}

// NewWriter writes the header for rows of these columns to w.
func NewWriter(w io.Writer, cols []schema.Column) (*Writer, error) {
	avroSchema, err := Schema(cols)
	if err != nil {
		return nil, err
	}
	columns, err := json.Marshal(cols)
	if err != nil {
		return nil, fmt.Errorf("avro columns: %w", err)
	}
	out := &Writer{cols: cols, dst: w, sync: syncMarker(columns)}

	header := binary.AppendVarint([]byte("Obj\x01"), 3)
	for _, entry := range []struct {
		key   string
		value []byte
	}{{"avro.codec", []byte("snappy")}, {"avro.schema", []byte(avroSchema.String())}, {columnsKey, columns}} {
		header = appendBytes(appendBytes(header, []byte(entry.key)), entry.value)
	}
	header = append(append(header, 0), out.sync[:]...)
	if _, err := w.Write(header); err != nil {
		return nil, fmt.Errorf("avro header: %w", err)
	}
	return out, nil
}

// syncMarker only has to be unlikely inside the data. A random one would change the bytes of a
// retry; one taken from the columns also shows damage to them.
func syncMarker(columns []byte) [16]byte {
	hash := sha256.Sum256(columns)
	return [16]byte(hash[:16])
}

// Append writes one row.
func (w *Writer) Append(row schema.Row) error {
	for i := range row {
		w.block = appendValue(w.block, &w.cols[i], &row[i])
	}
	w.rows++
	if w.rows < blockRows && len(w.block) < blockBytes {
		return nil
	}
	return w.flush()
}

// Close writes the last block; it does not close the underlying writer.
func (w *Writer) Close() error { return w.flush() }

// flush writes: rows, bytes, snappy data with the big-endian CRC of the plain data, sync marker.
// The data is compressed into its place in the frame, which begins before it.
func (w *Writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	if most := blockHeader + snappy.MaxEncodedLen(len(w.block)) + crc32.Size + len(w.sync); cap(w.frame) < most {
		w.frame = make([]byte, most)
	}
	compressed := snappy.Encode(w.frame[blockHeader:cap(w.frame)], w.block)
	header := binary.AppendVarint(make([]byte, 0, blockHeader), w.rows)
	header = binary.AppendVarint(header, int64(len(compressed)+crc32.Size))
	start := blockHeader - len(header)
	copy(w.frame[start:], header)
	frame := w.frame[start : blockHeader+len(compressed)]
	frame = binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(w.block))
	frame = append(frame, w.sync[:]...)
	if _, err := w.dst.Write(frame); err != nil {
		return fmt.Errorf("avro block: %w", err)
	}
	w.block, w.rows = w.block[:0], 0
	return nil
}

func appendValue(dst []byte, c *schema.Column, v *schema.Value) []byte {
	if c.Nullable {
		if v.Null {
			return append(dst, 0) // union branch 0: null
		}
		dst = append(dst, 2) // union branch 1, zig-zag
	}
	switch c.Kind {
	case schema.Float:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v.Float)))
	case schema.Double:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float))
	case schema.String, schema.Bytes:
		return appendBytes(dst, v.Bytes)
	case schema.Uint:
		if c.Bits == 64 {
			return appendBytes(dst, binary.BigEndian.AppendUint64([]byte{0}, uint64(v.Int)))
		}
	case schema.Decimal:
		if c.Precision > schema.MaxInt64Digits {
			return appendBytes(dst, v.Bytes)
		}
		return appendBytes(dst, binary.BigEndian.AppendUint64(nil, uint64(v.Int)))
	}
	return binary.AppendVarint(dst, v.Int)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// Schema is the Avro record that any Avro reader sees; column names that Avro forbids are
// replaced by their position, the true name is in the field's doc.
func Schema(cols []schema.Column) (avro.Schema, error) {
	fields := make([]*avro.Field, len(cols))
	for i, c := range cols {
		typ, err := avroType(c)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if c.Nullable {
			if typ, err = avro.NewUnionSchema([]avro.Schema{avro.NewNullSchema(), typ}); err != nil {
				return nil, fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		fields[i], err = avro.NewField(c.Name, typ, avro.WithDoc(c.Name+" "+c.Source))
		if err != nil { // a name with spaces, or not ASCII
			fields[i], err = avro.NewField(fmt.Sprintf("column_%d", i+1), typ, avro.WithDoc(c.Name+" "+c.Source))
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return avro.NewRecordSchema("row", "millrace", fields)
}

func avroType(c schema.Column) (avro.Schema, error) {
	switch c.Kind {
	case schema.Int:
		if c.Bits <= 32 {
			return avro.NewPrimitiveSchema(avro.Int, nil), nil
		}
		return avro.NewPrimitiveSchema(avro.Long, nil), nil
	case schema.Uint:
		if c.Bits == 64 { // no unsigned long in Avro: decimal(20,0) is exact
			return avro.NewPrimitiveSchema(avro.Bytes, avro.NewDecimalLogicalSchema(20, 0)), nil
		}
		return avro.NewPrimitiveSchema(avro.Long, nil), nil
	case schema.Decimal:
		return avro.NewPrimitiveSchema(avro.Bytes, avro.NewDecimalLogicalSchema(c.Precision, c.Scale)), nil
	case schema.Float:
		return avro.NewPrimitiveSchema(avro.Float, nil), nil
	case schema.Double:
		return avro.NewPrimitiveSchema(avro.Double, nil), nil
	case schema.String:
		return avro.NewPrimitiveSchema(avro.String, nil), nil
	case schema.Bytes:
		return avro.NewPrimitiveSchema(avro.Bytes, nil), nil
	case schema.Date:
		return avro.NewPrimitiveSchema(avro.Int, avro.NewPrimitiveLogicalSchema(avro.Date)), nil
	case schema.Datetime:
		return avro.NewPrimitiveSchema(avro.Long, avro.NewPrimitiveLogicalSchema(avro.LocalTimestampMicros)), nil
	case schema.Timestamp:
		return avro.NewPrimitiveSchema(avro.Long, avro.NewPrimitiveLogicalSchema(avro.TimestampMicros)), nil
	case schema.Time: // MySQL's TIME is a signed duration up to 838 h, which Avro's time-micros is not
		return avro.NewPrimitiveSchema(avro.Long, nil), nil
	}
	return nil, fmt.Errorf("kind %q has no Avro form", c.Kind)
}
