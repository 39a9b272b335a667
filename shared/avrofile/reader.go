package avrofile

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"

	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// maxBlock bounds what a block header can make the reader allocate. Writers flush every
// blockRows rows, so only a row of LONGTEXT size comes near.
const maxBlock = 1 << 30

// maxHeader bounds the metadata in the same way: a schema of a thousand columns takes 200 KiB.
const maxHeader = 64 << 20

// Reader reads an Avro object container file: one that Writer wrote, with the exact columns, or one from elsewhere, with the
// columns that its schema gives. Memory: one block.
type Reader struct {
	cols     []schema.Column
	metadata map[string]string
	src      *bufio.Reader
	sync     [16]byte
	codec    *codec
	fields   []field
	stored   []byte // a block as it is in the file
	block    []byte // what is left of the current one, plain
	left     int64  // rows in it
	ahead    *rowbatch.Batch
	at       int // row of ahead
	err      error
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	src := bufio.NewReaderSize(r, 256<<10)
	header, err := readHeader(src)
	if err != nil {
		return nil, fmt.Errorf("not an Avro object container file: %w", err)
	}
	out := &Reader{metadata: map[string]string{}, src: src, sync: header.Sync}
	for key, value := range header.Meta {
		out.metadata[key] = string(value)
	}
	if out.codec, err = newCodec(string(header.Meta["avro.codec"])); err != nil {
		return nil, err
	}
	if exact, ours := header.Meta[columnsKey]; ours {
		out.fields, err = exactFields(exact, header.Sync)
	} else {
		// A cache of its own: names of one file's types must not reach the next one's.
		var declared avro.Schema
		if declared, err = avro.ParseBytesWithCache(header.Meta["avro.schema"], "", &avro.SchemaCache{}); err != nil {
			return nil, fmt.Errorf("avro schema: %w", err)
		}
		if out.fields, err = fieldsOf(declared); err == nil && declared.(*avro.RecordSchema).FullName() == recordName {
			return nil, fmt.Errorf("avro header: a file of millrace without its metadata %s: the file is damaged", columnsKey)
		}
	}
	for _, f := range out.fields {
		out.cols = append(out.cols, f.column)
	}
	return out, err
}

// exactFields are those of a file by Writer, from the metadata that it puts beside Avro's own schema.
func exactFields(exact []byte, sync [16]byte) ([]field, error) {
	var cols []schema.Column
	if err := json.Unmarshal(exact, &cols); err != nil || len(cols) == 0 || sync != syncMarker(exact) {
		return nil, errors.New("avro header: columns and sync marker disagree: the file is damaged")
	}
	written, err := Schema(cols)
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(written)
	if err != nil {
		return nil, err
	}
	for i, c := range cols {
		if c.Kind == schema.Uint && c.Bits == 64 {
			fields[i].read = readUint64
		}
		fields[i].column = c
	}
	return fields, nil
}

// Columns are the columns the file was written with.
func (r *Reader) Columns() []schema.Column { return r.cols }

// Metadata is the header's metadata, the Avro schema among it.
func (r *Reader) Metadata() map[string]string { return r.metadata }

// batchBytes ends a batch early, after a block, so that long texts do not add up.
const batchBytes = 1 << 20

// NextBatch appends up to rows rows to b, which has this file's columns. It returns io.EOF, and adds nothing, after the last row.
func (r *Reader) NextBatch(b *rowbatch.Batch, rows int) error {
	if r.err != nil {
		return r.err
	}
	added := 0
	for added < rows {
		if r.left == 0 {
			if added > 0 && b.Size() >= batchBytes {
				return nil
			}
			if r.err = r.readBlock(); errors.Is(r.err, io.EOF) && added > 0 {
				return nil
			} else if r.err != nil {
				return r.err
			}
			continue
		}
		n := int(min(r.left, int64(rows-added)))
		if r.block, r.err = decode(b, r.fields, r.block, n); r.err != nil {
			return r.err
		}
		added += n
		if r.left -= int64(n); r.left == 0 && len(r.block) > 0 {
			r.err = fmt.Errorf("avro block: %d bytes more than its rows take: the file is damaged", len(r.block))
			return r.err
		}
	}
	return nil
}

// nextRows is how many rows Next decodes at a time.
const nextRows = 256

// Next returns the next row, or io.EOF after the last. The row is valid until the next call.
func (r *Reader) Next(row schema.Row) (schema.Row, error) {
	if r.ahead == nil {
		r.ahead = rowbatch.New(r.cols)
	}
	if r.at == r.ahead.Len() {
		r.ahead.Reset()
		r.at = 0
		if err := r.NextBatch(r.ahead, nextRows); err != nil {
			return nil, err
		}
	}
	row = r.ahead.Row(r.at, row)
	r.at++
	return row, nil
}

// readBlock reads rows, size, data and sync marker.
func (r *Reader) readBlock() error {
	if _, err := r.src.Peek(1); errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("avro block: %w", err)
	}
	rows, err := binary.ReadVarint(r.src)
	if err != nil {
		return cutOff(err)
	}
	size, err := binary.ReadVarint(r.src)
	if err != nil {
		return cutOff(err)
	}
	if rows < 0 || size < 0 || size > maxBlock {
		return fmt.Errorf("avro block of %d rows in %d bytes: the file is damaged", rows, size)
	}
	if int64(cap(r.stored)) < size {
		r.stored = make([]byte, size)
	}
	r.stored = r.stored[:size]
	var sync [16]byte
	if _, err = io.ReadFull(r.src, r.stored); err == nil {
		_, err = io.ReadFull(r.src, sync[:])
	}
	if err != nil {
		return cutOff(err)
	}
	if sync != r.sync {
		return errors.New("avro block: sync marker differs: the file is damaged")
	}
	if r.block, err = r.codec.plain(r.stored); err != nil {
		return fmt.Errorf("avro block: %w", err)
	}
	r.left = rows
	return nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("avro block: the file is cut off: %w", err)
}

func readHeader(src *bufio.Reader) (header ocf.Header, err error) {
	header.Meta = map[string][]byte{}
	if _, err = io.ReadFull(src, header.Magic[:]); err != nil || header.Magic != [4]byte{'O', 'b', 'j', 1} {
		return header, errors.Join(errors.New("it does not begin with Obj1"), err)
	}
	left := int64(maxHeader)
	for {
		entries, err := binary.ReadVarint(src)
		if err != nil {
			return header, cutOff(err)
		}
		if entries == 0 {
			break
		}
		if entries < 0 { // then the map's block says its size in bytes, too
			if entries = -entries; entries < 0 {
				return header, errors.New("header: impossible count of metadata")
			}
			if _, err := binary.ReadVarint(src); err != nil {
				return header, cutOff(err)
			}
		}
		for range entries {
			key, err := readBytes(src, &left)
			if err != nil {
				return header, err
			}
			if header.Meta[string(key)], err = readBytes(src, &left); err != nil {
				return header, err
			}
		}
	}
	if _, err = io.ReadFull(src, header.Sync[:]); err != nil {
		return header, cutOff(err)
	}
	return header, nil
}

func readBytes(src *bufio.Reader, left *int64) ([]byte, error) {
	size, err := binary.ReadVarint(src)
	if err != nil {
		return nil, cutOff(err)
	}
	if size < 0 || size > *left {
		return nil, fmt.Errorf("header: metadata of %d bytes", size)
	}
	*left -= size
	b := make([]byte, size)
	if _, err = io.ReadFull(src, b); err != nil {
		return nil, cutOff(err)
	}
	return b, nil
}
