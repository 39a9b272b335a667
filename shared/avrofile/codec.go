package avrofile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/golang/snappy"
	"github.com/hamba/avro/v2/ocf"
	"github.com/klauspost/compress/zstd"
)

// codec undoes the compression of blocks.
type codec struct {
	name    ocf.CodecName
	buffer  []byte
	inflate io.ReadCloser
	zstd    *zstd.Decoder
}

func newCodec(name string) (*codec, error) {
	c := &codec{name: ocf.CodecName(name)}
	switch c.name {
	case "", ocf.Null, ocf.Snappy:
	case ocf.Deflate:
		c.inflate = flate.NewReader(bytes.NewReader(nil))
	case ocf.ZStandard:
		var err error
		if c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock)); err != nil {
			return nil, fmt.Errorf("avro: %w", err)
		}
	default:
		return nil, fmt.Errorf("avro codec is %q: write the file with null, deflate, snappy or zstandard", name)
	}
	return c, nil
}

// plain returns a block's rows, valid until the next call.
func (c *codec) plain(stored []byte) (block []byte, err error) {
	switch c.name {
	case ocf.Snappy:
		return c.unsnap(stored)
	case ocf.Deflate:
		if err = c.inflate.(flate.Resetter).Reset(bytes.NewReader(stored), nil); err != nil {
			return nil, err
		}
		out := bytes.NewBuffer(c.buffer[:0])
		_, err = io.Copy(out, io.LimitReader(c.inflate, maxBlock+1))
		c.buffer = out.Bytes()
	case ocf.ZStandard:
		c.buffer, err = c.zstd.DecodeAll(stored, c.buffer[:0])
	default:
		return stored, nil
	}
	if err != nil {
		return nil, fmt.Errorf("not %s: the file is damaged: %w", c.name, err)
	}
	if len(c.buffer) > maxBlock {
		return nil, fmt.Errorf("over %d bytes: the file is damaged, or write smaller blocks", maxBlock)
	}
	return c.buffer, nil
}

// unsnap decodes snappy with the big-endian CRC of the plain data after it.
func (c *codec) unsnap(stored []byte) (_ []byte, err error) {
	if len(stored) < crc32.Size {
		return nil, errors.New("no CRC: the file is damaged")
	}
	body, sum := stored[:len(stored)-crc32.Size], binary.BigEndian.Uint32(stored[len(stored)-crc32.Size:])
	if n, err := snappy.DecodedLen(body); err != nil || n > maxBlock {
		return nil, fmt.Errorf("not snappy or over %d bytes: the file is damaged", maxBlock)
	}
	if c.buffer, err = snappy.Decode(c.buffer[:cap(c.buffer)], body); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(c.buffer) != sum {
		return nil, errors.New("CRC differs: the file is damaged")
	}
	return c.buffer, nil
}
