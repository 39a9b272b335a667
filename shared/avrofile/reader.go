package avrofile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/golang/snappy"
	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"

	"github.com/millrace/millrace/shared/schema"
)

// maxBlock bounds what a block header can make the reader allocate. Writers flush every
// blockRows rows, so only a row of LONGTEXT size comes near.
const maxBlock = 1 << 30

// Reader reads a file written by Writer, row by row, in constant memory.
type Reader struct {
	cols       []schema.Column
	metadata   map[string]string
	src        *avro.Reader
	sync       [16]byte
	block      []byte
	compressed []byte
	left       int64 // rows left in block
	values     *avro.Reader
	err        error
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	src := avro.NewReader(r, 64<<10)
	var header ocf.Header
	src.ReadVal(ocf.HeaderSchema, &header)
	if src.Error != nil || header.Magic != [4]byte{'O', 'b', 'j', 1} {
		return nil, fmt.Errorf("not an Avro object container file: %w", errors.Join(src.Error, errNoMagic))
	}
	if codec := string(header.Meta["avro.codec"]); codec != string(ocf.Snappy) {
		return nil, fmt.Errorf("avro codec is %q: write the file with snappy", codec)
	}
	var cols []schema.Column
	if err := json.Unmarshal(header.Meta[columnsKey], &cols); err != nil || len(cols) == 0 {
		return nil, fmt.Errorf("avro file has no %s metadata: it was not written by millrace", columnsKey)
	}
	if header.Sync != syncMarker(header.Meta[columnsKey]) {
		return nil, errors.New("avro header: columns and sync marker disagree: the file is damaged")
	}
	metadata := map[string]string{}
	for key, value := range header.Meta {
		metadata[key] = string(value)
	}
	return &Reader{cols: cols, metadata: metadata, src: src, sync: header.Sync, values: avro.NewReader(nil, 0)}, nil
}

var errNoMagic = errors.New("it does not begin with Obj1")

// Columns are the columns the file was written with.
func (r *Reader) Columns() []schema.Column { return r.cols }

// Metadata is the header's metadata, the Avro schema among it.
func (r *Reader) Metadata() map[string]string { return r.metadata }

// Next returns the next row, or io.EOF after the last. The row is valid until the next call.
func (r *Reader) Next(row schema.Row) (schema.Row, error) {
	if r.err != nil {
		return nil, r.err
	}
	for r.left == 0 {
		if r.err = r.readBlock(); r.err != nil {
			return nil, r.err
		}
	}
	row = row[:0]
	for i := range r.cols {
		row = append(row, r.readValue(&r.cols[i]))
	}
	if r.values.Error != nil {
		r.err = fmt.Errorf("avro row: %w", r.values.Error)
		return nil, r.err
	}
	r.left--
	return row, nil
}

func (r *Reader) readBlock() error {
	if r.src.Peek(); errors.Is(r.src.Error, io.EOF) {
		return io.EOF
	} else if r.src.Error != nil {
		return fmt.Errorf("avro block: %w", r.src.Error)
	}
	rows, size := r.src.ReadLong(), r.src.ReadLong()
	if rows < 0 || size < 4 || size > maxBlock {
		return fmt.Errorf("avro block of %d rows in %d bytes: the file is damaged", rows, size)
	}
	if int64(cap(r.compressed)) < size {
		r.compressed = make([]byte, size)
	}
	data := r.compressed[:size]
	r.src.Read(data)
	var sync [16]byte
	r.src.Read(sync[:])
	if r.src.Error != nil {
		return fmt.Errorf("avro block: the file is cut off: %w", r.src.Error)
	}
	if sync != r.sync {
		return errors.New("avro block: sync marker differs: the file is damaged")
	}
	body, sum := data[:size-4], binary.BigEndian.Uint32(data[size-4:])
	if n, err := snappy.DecodedLen(body); err != nil || n > maxBlock {
		return fmt.Errorf("avro block: not snappy or over %d bytes: the file is damaged", maxBlock)
	}
	var err error
	if r.block, err = snappy.Decode(r.block[:cap(r.block)], body); err != nil {
		return fmt.Errorf("avro block: %w", err)
	}
	if crc32.ChecksumIEEE(r.block) != sum {
		return errors.New("avro block: CRC differs: the file is damaged")
	}
	r.values.Reset(r.block)
	r.left = rows
	return nil
}

func (r *Reader) readValue(c *schema.Column) schema.Value {
	if c.Nullable && r.values.ReadLong() == 0 {
		return schema.Value{Null: true}
	}
	switch c.Kind {
	case schema.Float:
		return schema.Value{Float: float64(r.values.ReadFloat())}
	case schema.Double:
		return schema.Value{Float: r.values.ReadDouble()}
	case schema.String, schema.Bytes:
		return schema.Value{Bytes: r.values.ReadBytes()}
	case schema.Uint:
		if c.Bits == 64 {
			return schema.Value{Int: int64(schema.Unscaled(r.values.ReadBytes()).Uint64())}
		}
	case schema.Decimal:
		b := r.values.ReadBytes()
		if c.Precision > schema.MaxInt64Digits {
			return schema.Value{Bytes: b}
		}
		return schema.Value{Int: schema.Unscaled(b).Int64()}
	}
	return schema.Value{Int: r.values.ReadLong()}
}
