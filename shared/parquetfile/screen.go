package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A few bytes of a Parquet file can ask for gigabytes: lengths, counts, runs, compressed pages. Readers believe them. These are the most that a
// file from elsewhere may ask for at a time; what usual programs write is far below (pyarrow's pages have 1 MiB, DuckDB's 122,880 rows).
const (
	maxFooter     = 1 << 20
	maxPageHeader = 64 << 10
	maxPage       = 64 << 20 // unpacked
	maxPageValues = 16 << 20
	maxDeltaBlock = 64 << 10 // values
	maxEntry      = 64 << 10 // of a dictionary; 1,024 rows are read at once
)

// plainDictionary is what older programs call a page of indexes into a dictionary.
const plainDictionary format.Encoding = 2

// ErrScreened says that a file asks for more memory than any honest one would.
var ErrScreened = errors.New("it asks for more memory than a model's table needs")

func screened(format string, args ...any) error {
	return fmt.Errorf("parquet file: %s: %w", fmt.Sprintf(format, args...), ErrScreened)
}

// Screen looks through a whole file before it is decoded, so that decoding it takes bounded memory: each length and count, at the place where it
// stands. Memory: a page. It unpacks each page once, so it costs about as much as reading.
func Screen(r io.ReaderAt, size int64) (err error) {
	defer damaged(&err)
	if err := screenFooter(r, size); err != nil {
		return err
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("not a readable Parquet file: %w", err)
	}
	s := screen{file: r, size: size}
	defer s.close()
	for _, group := range file.Metadata().RowGroups {
		for n := range group.Columns {
			chunk := &group.Columns[n].MetaData
			leaf, found := file.Schema().Lookup(chunk.PathInSchema...)
			if !found {
				return fmt.Errorf("parquet file: column %q is not in its schema", chunk.PathInSchema)
			}
			if err := s.chunk(chunk, leaf); err != nil {
				return fmt.Errorf("column %q: %w", chunk.PathInSchema, err)
			}
		}
	}
	return nil
}

func screenFooter(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return errors.New("not a readable Parquet file: it is too short")
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != "PAR1" || length > size-12 {
		return errors.New("not a readable Parquet file: it does not end with its footer")
	}
	if length > maxFooter {
		return screened("a footer of %d bytes, at most %d", length, maxFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return err
	}
	_, err := thriftLength(footer)
	return err
}

type screen struct {
	file io.ReaderAt
	size int64
	zstd *zstd.Decoder
	page []byte // unpacked, reused
}

func (s *screen) close() {
	if s.zstd != nil {
		s.zstd.Close()
	}
}

// chunk walks the pages of one column of a row group.
func (s *screen) chunk(c *format.ColumnMetaData, leaf parquet.LeafColumn) error {
	at, length := c.DataPageOffset, c.TotalCompressedSize
	if c.DictionaryPageOffset != 0 {
		at = c.DictionaryPageOffset
	}
	if at < 0 || length < 0 || at > s.size || length > s.size-at {
		return errors.New("parquet file: its pages lie outside of the file: it is damaged")
	}
	for end := at + length; at < end; {
		window := make([]byte, min(maxPageHeader, end-at))
		if _, err := s.file.ReadAt(window, at); err != nil {
			return err
		}
		n, err := thriftLength(window)
		if err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		var header format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), window[:n], &header); err != nil {
			return fmt.Errorf("parquet file: page header: %w", err)
		}
		at += int64(n)
		if header.CompressedPageSize < 0 || header.UncompressedPageSize < 0 || int64(header.CompressedPageSize) > end-at {
			return errors.New("parquet file: a page lies outside of its column: it is damaged")
		}
		if header.CompressedPageSize > maxPage || header.UncompressedPageSize > maxPage {
			return screened("a page of %d bytes, at most %d", max(header.CompressedPageSize, header.UncompressedPageSize), maxPage)
		}
		packed := make([]byte, header.CompressedPageSize)
		if _, err := s.file.ReadAt(packed, at); err != nil {
			return err
		}
		at += int64(header.CompressedPageSize)
		if err := s.data(&header, c.Codec, leaf, packed); err != nil {
			return err
		}
	}
	return nil
}

// data unpacks a page and looks at what its encodings would unfold.
func (s *screen) data(h *format.PageHeader, codec format.CompressionCodec, leaf parquet.LeafColumn, packed []byte) error {
	size := int(h.UncompressedPageSize)
	var values int32
	var encoding format.Encoding
	var levels [][]byte
	var unpacked []byte
	var err error
	switch {
	case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
		values, encoding = h.DictionaryPageHeader.V.NumValues, format.Plain
		unpacked, err = s.unpack(codec, packed, size)
	case h.Type == format.DataPage && h.DataPageHeader.Valid:
		values, encoding = h.DataPageHeader.V.NumValues, h.DataPageHeader.V.Encoding
		if unpacked, err = s.unpack(codec, packed, size); err != nil {
			return err
		}
		for _, level := range []int{leaf.MaxRepetitionLevel, leaf.MaxDefinitionLevel} {
			if level == 0 {
				continue
			}
			if len(unpacked) < 4 || uint64(binary.LittleEndian.Uint32(unpacked)) > uint64(len(unpacked)-4) {
				return errors.New("parquet file: levels lie outside of their page: it is damaged")
			}
			n := 4 + int(binary.LittleEndian.Uint32(unpacked))
			levels, unpacked = append(levels, unpacked[4:n]), unpacked[n:]
		}
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		v2 := h.DataPageHeaderV2.V
		values, encoding = v2.NumValues, v2.Encoding
		n := int(v2.RepetitionLevelsByteLength) + int(v2.DefinitionLevelsByteLength)
		if v2.RepetitionLevelsByteLength < 0 || v2.DefinitionLevelsByteLength < 0 || n > len(packed) || n > size {
			return errors.New("parquet file: levels lie outside of their page: it is damaged")
		}
		levels = [][]byte{packed[:v2.RepetitionLevelsByteLength], packed[v2.RepetitionLevelsByteLength:n]}
		if v2.IsCompressed.Valid && !v2.IsCompressed.V {
			codec = format.Uncompressed
		}
		unpacked, err = s.unpack(codec, packed[n:], size-n)
	default:
		return errors.New("parquet file: a page is neither of data nor a dictionary")
	}
	if err != nil {
		return err
	}
	if values < 0 || values > maxPageValues {
		return screened("a page of %d values, at most %d", values, maxPageValues)
	}
	for n, level := range levels {
		most := leaf.MaxRepetitionLevel
		if n == len(levels)-1 {
			most = leaf.MaxDefinitionLevel
		}
		if err := screenRuns(level, bitsFor(most), int(values)); err != nil {
			return fmt.Errorf("levels: %w", err)
		}
	}
	switch encoding {
	case format.RLEDictionary, plainDictionary:
		if len(unpacked) == 0 {
			return nil
		}
		if unpacked[0] > 32 {
			return errors.New("parquet file: indexes of more than 32 bits: it is damaged")
		}
		return screenRuns(unpacked[1:], int(unpacked[0]), int(values))
	case format.Plain:
		if h.Type == format.DictionaryPage && leaf.Node.Type().Kind() == parquet.ByteArray {
			return screenEntries(unpacked)
		}
	case format.ByteStreamSplit:
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		return screenDeltas(unpacked, int(values))
	default: // prefixes of prefixes unfold without bound
		return screened("values in the encoding %s: write PLAIN or a dictionary", encoding)
	}
	return nil
}

// unpack gives size bytes, or an error where a page holds more.
func (s *screen) unpack(codec format.CompressionCodec, packed []byte, size int) (_ []byte, err error) {
	if cap(s.page) < size+1 {
		s.page = make([]byte, size+1)
	}
	var out []byte
	switch codec {
	case format.Uncompressed:
		out = packed
	case format.Snappy:
		n, err := snappy.DecodedLen(packed)
		if err != nil {
			return nil, fmt.Errorf("parquet file: a page: %w", err)
		}
		if n > size {
			return nil, screened("a page that says it has %d bytes and unpacks to %d", size, n)
		}
		out, err = snappy.Decode(s.page[:cap(s.page)], packed)
		if err != nil {
			return nil, fmt.Errorf("parquet file: a page: %w", err)
		}
	case format.Zstd:
		if s.zstd == nil {
			if s.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxPage)); err != nil {
				return nil, err
			}
		}
		if err := s.zstd.Reset(bytes.NewReader(packed)); err != nil {
			return nil, fmt.Errorf("parquet file: a page: %w", err)
		}
		if out, err = readAtMost(s.zstd, s.page[:size+1]); err != nil {
			return nil, err
		}
	case format.Gzip:
		source, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("parquet file: a page: %w", err)
		}
		if out, err = readAtMost(source, s.page[:size+1]); err != nil {
			return nil, err
		}
	default:
		return nil, screened("pages compressed by %s: write zstd, snappy, gzip or none", codec)
	}
	if len(out) > size {
		return nil, screened("a page that says it has %d bytes and unpacks to more", size)
	}
	return out, nil
}

func readAtMost(r io.Reader, into []byte) ([]byte, error) {
	n, err := io.ReadFull(r, into)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("parquet file: a page: %w", err)
	}
	return into[:n], nil
}

func bitsFor(most int) (n int) {
	for ; most > 0; most >>= 1 {
		n++
	}
	return n
}

// screenRuns adds up the runs of the hybrid of RLE and bit-packing: they must not unfold to more than the page's values, padding apart.
func screenRuns(b []byte, width, values int) error {
	for total := 0; len(b) > 0; {
		header, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("parquet file: a run without a length: it is damaged")
		}
		b = b[n:]
		count, bytes := header>>1, uint64(width+7)/8
		if header&1 == 1 {
			if count > maxPageValues {
				return screened("a run of %d values in a page of %d", 8*count, values)
			}
			count, bytes = 8*count, count*uint64(width)
		}
		if bytes > uint64(len(b)) {
			if header&1 == 1 && total+int(count) <= values+8 { // a last run may be cut short
				return nil
			}
			return errors.New("parquet file: a run lies outside of its page: it is damaged")
		}
		if count > uint64(maxPageValues) || total+int(count) > values+64 {
			return screened("a run of %d values in a page of %d", count, values)
		}
		total += int(count)
		b = b[bytes:]
	}
	return nil
}

// screenDeltas looks at the header of delta encoding: the size of a block, miniblocks in it, values.
func screenDeltas(b []byte, values int) error {
	for _, most := range []int{maxDeltaBlock, maxDeltaBlock, values} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("parquet file: deltas without a header: it is damaged")
		}
		if v > uint64(most) {
			return screened("deltas of %d values in a page of %d", v, values)
		}
		b = b[n:]
	}
	return nil
}

// screenEntries looks at the lengths of a dictionary's texts: any row may repeat any of them.
func screenEntries(b []byte) error {
	for len(b) > 0 {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return errors.New("parquet file: a text lies outside of its page: it is damaged")
		}
		n := int(binary.LittleEndian.Uint32(b))
		if n > maxEntry {
			return screened("a dictionary with a text of %d bytes, at most %d", n, maxEntry)
		}
		b = b[4+n:]
	}
	return nil
}
