package parquetfile

import (
	"encoding/binary"
	"errors"
)

// Types of Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

// maxThriftDepth is far above what Parquet's structures nest.
const maxThriftDepth = 32

var errThrift = errors.New("parquet file: a length or count is greater than the structure that it stands in: it is damaged")

// thriftLength walks over one structure and returns its length: each text it names lies within b, and each list has no more elements than there are
// bytes for, so decoding it allocates a bounded multiple of len(b).
func thriftLength(b []byte) (int, error) {
	w := thriftWalk{left: b}
	if err := w.structure(0); err != nil {
		return 0, err
	}
	return len(b) - len(w.left), nil
}

type thriftWalk struct{ left []byte }

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.left)) {
		return errThrift
	}
	w.left = w.left[n:]
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if len(w.left) == 0 {
		return 0, errThrift
	}
	b := w.left[0]
	w.left = w.left[1:]
	return b, nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.left)
	if n <= 0 {
		return 0, errThrift
	}
	w.left = w.left[n:]
	return v, nil
}

func (w *thriftWalk) structure(depth int) error {
	for {
		header, err := w.byte()
		if err != nil || header == 0 {
			return err
		}
		if header>>4 == 0 { // the field's number follows, else it counts from the last one
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind := header & 0xf; kind != thriftTrue && kind != thriftFalse { // whose value is the type
			if err := w.value(kind, depth); err != nil {
				return err
			}
		}
	}
}

func (w *thriftWalk) value(kind byte, depth int) error {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	}
	if depth == maxThriftDepth {
		return errThrift
	}
	switch kind {
	case thriftStruct:
		return w.structure(depth + 1)
	case thriftList, thriftSet:
		return w.list(depth)
	case thriftMap:
		return w.pairs(depth)
	}
	return errThrift
}

func (w *thriftWalk) list(depth int) error {
	header, err := w.byte()
	if err != nil {
		return err
	}
	count := uint64(header >> 4)
	if count == 15 {
		if count, err = w.varint(); err != nil {
			return err
		}
	}
	if count > uint64(len(w.left)) {
		return errThrift
	}
	for range count {
		if err := w.value(header&0xf, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalk) pairs(depth int) error {
	count, err := w.varint()
	if err != nil || count == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	if count > uint64(len(w.left)) {
		return errThrift
	}
	for range count {
		for _, kind := range []byte{kinds >> 4, kinds & 0xf} {
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
