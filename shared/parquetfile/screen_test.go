package parquetfile_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/parquetfile"
)

type text struct {
	ID        string    `parquet:"id,dict"`
	Name      string    `parquet:"name"`
	Embedding []float32 `parquet:"embedding,list"`
}

func screen(file []byte) error { return parquetfile.Screen(bytes.NewReader(file), int64(len(file))) }

func TestFilesOfUsualProgramsPassTheScreen(t *testing.T) {
	t.Parallel()
	rows := make([]text, 5000)
	for n := range rows {
		rows[n] = text{ID: strings.Repeat("x", n%40), Name: "name", Embedding: make([]float32, n%9)}
	}
	for _, codec := range []parquet.WriterOption{
		parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Gzip), parquet.Compression(&parquet.Uncompressed),
	} {
		for _, version := range []int{1, 2} {
			require.NoError(t, screen(written(t, rows, codec, parquet.DataPageVersion(version), parquet.MaxRowsPerRowGroup(1500))))
		}
	}
	require.NoError(t, screen(written(t, []foreign{{ID: "1"}, {}})))
}

func TestFilesThatAskForMuchMemoryAreScreenedOut(t *testing.T) {
	t.Parallel()
	type long struct {
		ID string `parquet:"id"`
	}
	type delta struct {
		ID string `parquet:"id,delta"`
	}
	footer := written(t, []long{{"a"}})
	binary.LittleEndian.PutUint32(footer[len(footer)-8:], 1<<31)
	for name, c := range map[string]struct {
		file   []byte
		reason string
	}{
		"page that unpacks to 100 MB": {written(t, []long{{strings.Repeat("a", 100<<20)}}, parquet.Compression(&parquet.Zstd)), "asks for more memory"},
		"dictionary of long texts":    {written(t, []text{{ID: strings.Repeat("a", 200<<10)}}, parquet.Compression(&parquet.Snappy)), "a dictionary with a text of 204800 bytes"},
		"statistics that are long":    {written(t, []long{{strings.Repeat("a", 1<<20)}}), "a footer of"},
		"prefixes that add up":        {written(t, []delta{{"a"}, {"aa"}}), "encoding DELTA_BYTE_ARRAY"},
		"codec that is not bounded":   {written(t, []long{{"a"}}, parquet.Compression(&parquet.Brotli)), "compressed by BROTLI"},
		"footer longer than the file": {footer, "does not end with its footer"},
		"nothing":                     {nil, "too short"},
		"no Parquet":                  {[]byte("PAR1 not really PAR2"), "does not end with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, screen(c.file), c.reason)
		})
	}
}

func TestLengthsThatLieAreFoundBeforeTheyAreBelieved(t *testing.T) {
	t.Parallel()
	honest := written(t, []text{{ID: "a", Embedding: []float32{1}}, {ID: "b", Embedding: []float32{2}}}, parquet.Compression(&parquet.Zstd))
	require.NoError(t, screen(honest))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refused := 0
	for range 20_000 {
		file := bytes.Clone(honest)
		for range 1 + random.IntN(3) { // mostly the greatest numbers of a byte and of a varint
			at := 4 + random.IntN(len(file)-8)
			for range 1 + random.IntN(5) {
				if at < len(file)-8 {
					file[at] = []byte{0xff, 0xff, 0xff, 0x7f, 1, 0}[random.IntN(6)]
				}
				at++
			}
		}
		if screen(file) != nil {
			refused++
			continue
		}
		r, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
		for err == nil {
			_, err = r.Next(nil)
		}
	}
	runtime.ReadMemStats(&after)
	perFile := (after.TotalAlloc - before.TotalAlloc) / 20_000
	t.Logf("%d of 20,000 refused, %d KB allocated a file", refused, perFile>>10)
	require.Less(t, perFile, uint64(16<<20))
}
