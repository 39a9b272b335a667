package modelloader_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/vectorstore"
)

// refuses loads a model, which must fail as a defect and leave v1 active.
func (b bundle) refuses(t *testing.T, key string) string {
	t.Helper()
	_, err := modelloader.Load(b.ctx, b.objects, b.store, key)
	var defect *vectorstore.Defect
	require.ErrorAs(t, err, &defect)
	require.Equal(t, "v1", b.active(t))
	return err.Error()
}

func TestAThousandFlippedBitsAndAHundredCutsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := modelloader.Load(b.ctx, b.objects, b.store, b.publish(t, "1", lake.Candidate))
	require.NoError(t, err)
	key := b.publish(t, "2", lake.Candidate)
	seed := rand.Uint64()
	flips, cuts, whole := 0, 0, 0 // refused
	defer func() {
		t.Logf("seed %d: %d flipped bits and %d cuts refused, %d of them by a whole load", seed, flips, cuts, whole)
	}()
	random := rand.New(rand.NewPCG(seed, 0))
	files := []string{model.ItemsFile, model.UsersFile, model.EncoderFile, model.MetricsFile, model.InteractionsFile, model.CooccurrencesFile}
	for n := range 1100 {
		file := files[random.IntN(len(files))]
		undo := b.edit(t, lake.ModelDir("v2")+file, func(text []byte) []byte {
			if n >= 1000 {
				return text[:len(text)*(n-1000)/100]
			}
			bit := random.IntN(8 * len(text))
			text[bit/8] ^= 1 << (bit % 8)
			return text
		})
		if n%10 == 0 { // all the way to the database
			require.Contains(t, b.refuses(t, key), file)
			whole++
		} else {
			require.ErrorIs(t, b.read(key), lake.ErrStale)
		}
		if n >= 1000 {
			cuts++
		} else {
			flips++
		}
		undo()
	}
	require.NoError(t, b.read(key))
	_, err = modelloader.Load(b.ctx, b.objects, b.store, key)
	require.NoError(t, err)
	require.Equal(t, "v2", b.active(t))
}

// read reads a whole artifact, which verifies it.
func (b bundle) read(key string) error {
	a, err := model.Open(b.ctx, b.objects, key)
	if err != nil {
		return err
	}
	_, err = a.Encoder(b.ctx)
	if err == nil {
		_, err = a.Metrics(b.ctx)
	}
	number := map[string]int32{}
	for e, failed := range a.Items(b.ctx) {
		number[e.ID] = int32(len(number))
		err = errors.Join(err, failed)
	}
	for _, failed := range a.Users(b.ctx) {
		err = errors.Join(err, failed)
	}
	for _, failed := range a.Interactions(b.ctx) {
		err = errors.Join(err, failed)
	}
	if err == nil {
		_, err = a.Cooccurrences(b.ctx, number)
	}
	return err
}

// forge publishes a model v2 from elsewhere: its files as they are, and a manifest that agrees with them but for what change does to it.
func (b bundle) forge(t *testing.T, files map[string][]byte, change func(*lake.ModelManifest)) string {
	t.Helper()
	manifest := lake.ModelManifest{
		Header:  lake.Header{Format: lake.ModelFormat, Dataset: "shop", Run: "2"},
		Version: "v2", State: lake.Candidate, Dimension: 2, Distance: model.InnerProduct, Counts: lake.ModelCounts{Items: 2},
	}
	for name, text := range files {
		sum := sha256.Sum256(text)
		f := lake.File{Key: lake.ModelDir("v2") + name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
		if strings.HasSuffix(name, ".parquet") {
			if sum, err := parquetfile.Checksum(bytes.NewReader(text), f.Size); err == nil {
				f.Checksum, f.Rows = sum, sum.Rows
			}
		}
		manifest.Files = append(manifest.Files, f)
		require.NoError(t, b.objects.Put(b.ctx, f.Key, bytes.NewReader(text)))
	}
	if change != nil {
		change(&manifest)
	}
	text, err := json.Marshal(manifest)
	require.NoError(t, err)
	require.NoError(t, b.objects.Put(b.ctx, lake.ModelMarker("v2"), bytes.NewReader(text)))
	return lake.ModelMarker("v2")
}

// row is one of items.parquet or users.parquet, as another program writes it.
type row struct {
	ID        string    `parquet:"id"`
	Name      string    `parquet:"name"`
	Embedding []float32 `parquet:"embedding,list"`
	Bias      float32   `parquet:"bias"`
	Cold      int8      `parquet:"cold"`
	Features  string    `parquet:"features"`
}

// table writes entities, whatever they are, with a library that is not ours.
func table(t *testing.T, entities ...model.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[row](&out, parquet.Compression(&parquet.Zstd))
	for _, e := range entities {
		_, err := w.Write([]row{{e.ID, e.Name, e.Embedding, e.Bias, 0, "{}"}})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestArtifactsFromElsewhereAreLoadedOrRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := modelloader.Load(b.ctx, b.objects, b.store, b.publish(t, "1", lake.Candidate))
	require.NoError(t, err)
	own := map[string][]byte{}
	for _, name := range []string{model.UsersFile, model.EncoderFile, model.MetricsFile} {
		text, err := os.ReadFile(filepath.Join(b.dir, filepath.FromSlash(lake.ModelDir("v1")+name)))
		require.NoError(t, err)
		own[name] = bytes.ReplaceAll(text, []byte(`"v1"`), []byte(`"v2"`))
	}
	csv := func(rows ...string) map[string][]byte {
		return map[string][]byte{model.ItemsCSV: []byte("id,embedding\n" + strings.Join(rows, "\n") + "\n")}
	}
	tables := func(entities ...model.Entity) map[string][]byte {
		return map[string][]byte{model.ItemsFile: table(t, entities...), model.UsersFile: own[model.UsersFile], model.EncoderFile: own[model.EncoderFile], model.MetricsFile: own[model.MetricsFile]}
	}
	users := func(m *lake.ModelManifest) { m.Counts.Users = 1 } // of own
	good := csv(`a,"[1,2]"`, `b,"[3,4]"`)
	item := func(id string, vector ...float32) model.Entity { return model.Entity{ID: id, Embedding: vector} }
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	file := func(change func(*lake.File)) func(*lake.ModelManifest) {
		return func(m *lake.ModelManifest) { change(&m.Files[0]) }
	}
	for _, c := range []struct {
		name   string
		files  map[string][]byte
		change func(*lake.ModelManifest)
		reason string
	}{
		{"size one less", good, file(func(f *lake.File) { f.Size-- }), lake.ErrStale.Error()},
		{"size one more", good, file(func(f *lake.File) { f.Size++ }), lake.ErrStale.Error()},
		{"no size", good, file(func(f *lake.File) { f.Size = 0 }), "has 0 bytes, want 1 to"},
		{"negative size", good, file(func(f *lake.File) { f.Size = -1 }), "has -1 bytes, want 1 to"},
		{"half a gigabyte and more", good, file(func(f *lake.File) { f.Size = 512<<20 + 1 }), "has 536870913 bytes, want 1 to"},
		{"other SHA-256", good, file(func(f *lake.File) { f.SHA256 = strings.Repeat("0", 64) }), lake.ErrStale.Error()},
		{"key above", good, file(func(f *lake.File) { f.Key = "models/v2/../v1/items.csv" }), "not beside it"},
		{"key far above", good, file(func(f *lake.File) { f.Key = "../../../etc/passwd" }), "not beside it"},
		{"absolute key", good, file(func(f *lake.File) { f.Key = "/etc/passwd" }), "not beside it"},
		{"file twice", good, func(m *lake.ModelManifest) { m.Files = append(m.Files, m.Files[0]) }, "twice"},
		{"fewer items", good, func(m *lake.ModelManifest) { m.Counts.Items = 3 }, "2 rows, the manifest counts 3"},
		{"more items than are held", good, func(m *lake.ModelManifest) { m.Counts.Items = 1 << 40 }, "want 1 to 5000000 items"},
		{"users that are not there", good, users, "0 rows, the manifest counts 1"},
		{"dimension", good, func(m *lake.ModelManifest) { m.Dimension = 3 }, "has 2 numbers, the manifest says 3"},
		{"16,001 dimensions", csv(`a,"[1` + strings.Repeat(",1", 16000) + `]"`), func(m *lake.ModelManifest) { m.Dimension, m.Counts.Items = 16001, 1 }, "dimension 16001: pgvector holds 1 to 16000"},
		{"other distance", good, func(m *lake.ModelManifest) { m.Distance = "euclid" }, "distance"},
		{"other format", good, func(m *lake.ModelManifest) { m.Format = "millrace/model/9" }, "format"},
		{"other version", good, func(m *lake.ModelManifest) { m.Version = "v3" }, `says it is version "v3"`},

		{"CSV with NaN", csv(`a,"[1,2]"`, `b,"[nan,4]"`), nil, "NaN"},
		{"CSV with infinity", csv(`a,"[1,2]"`, `b,"[3,-Inf]"`), nil, "length +Inf"},
		{"CSV with 1e400", csv(`a,"[1,2]"`, `b,"[3,1e400]"`), nil, "out of range"},
		{"CSV with a zero vector", csv(`a,"[1,2]"`, `b,"[0,-0]"`), nil, `id "b" has an embedding of length 0`},
		{"CSV with a vector too short to compute with", csv(`a,"[1,2]"`, `b,"[1e-30,0]"`), nil, "of length 1e-30"},
		{"CSV with a vector too long to compute with", csv(`a,"[1,2]"`, `b,"[1e16,0]"`), nil, "of length 1e+16"},
		{"CSV with an id twice", csv(`a,"[1,2]"`, `a,"[3,4]"`), nil, `id "a" is there twice`},
		{"CSV with a NUL", csv(`a,"[1,2]"`, "b\x00,\"[3,4]\""), nil, `id "b\x00", named`},
		{"CSV with no UTF-8", csv(`a,"[1,2]"`, "b\xff,\"[3,4]\""), nil, `id "b\xff", named`},
		{"CSV without an id", csv(`a,"[1,2]"`, `,"[3,4]"`), nil, "an id is empty"},
		{"CSV with a long id", csv(`a,"[1,2]"`, strings.Repeat("b", 2000)+`,"[3,4]"`), nil, "2000 bytes, want 1 to 1024"},
		{"CSV with another vector", csv(`a,"[1,2]"`, `b,"{3,4}"`), nil, "no vector such as"},
		{"CSV with words", csv(`a,"[1,2]"`, `b,"[three,4]"`), nil, "three"},
		{"CSV with a quote that does not end", csv(`a,"[1,2]"`, `b,"[3,4]`), nil, "line 3"},
		{"CSV with a row that does not end", csv(`a,"[1,2]"`, `b,"[3,`+strings.Repeat(" ", 2<<20)+`4]"`), nil, "a row has more than"},
		{"CSV with other columns", map[string][]byte{model.ItemsCSV: []byte("item,vector\na,\"[1,2]\"\n")}, nil, "want id and embedding"},
		{"CSV that is empty", map[string][]byte{model.ItemsCSV: []byte("\n")}, nil, "the file is empty"},
		{"both kinds of tables", map[string][]byte{model.ItemsCSV: good[model.ItemsCSV], model.ItemsFile: table(t)}, nil, "from elsewhere there are only"},
		{"no items at all", map[string][]byte{model.MetricsFile: []byte("{}")}, nil, "lists no items.parquet (and no items.csv)"},

		{"Parquet with NaN", tables(item("a", 1, 2), item("b", nan, 1)), users, "NaN"},
		{"Parquet with infinity", tables(item("a", 1, 2), item("b", 1, inf)), users, "length +Inf"},
		{"Parquet with a zero vector", tables(item("a", 1, 2), item("b", 0, 0)), users, `id "b" has an embedding of length 0`},
		{"Parquet with an id twice", tables(item("a", 1, 2), item("a", 1, 2)), users, `id "a" is there twice`},
		{"Parquet with short vectors", tables(item("a", 1, 2), item("b", 1)), users, "embedding of 1 numbers"},
		{"Parquet with an infinite bias", tables(item("a", 1, 2), model.Entity{ID: "b", Embedding: []float32{1, 2}, Bias: inf}), users, "bias -Inf"},
		{"Parquet with other rows than recorded", tables(item("a", 1, 2), item("b", 1, 2)), func(m *lake.ModelManifest) {
			users(m)
			for n := range m.Files {
				m.Files[n].Checksum = checksum.Sum{}
			}
		}, "publish it again"},
		{"Parquet that is none", map[string][]byte{
			model.ItemsFile: []byte("PAR1 not really PAR1"), model.UsersFile: own[model.UsersFile], model.EncoderFile: own[model.EncoderFile], model.MetricsFile: own[model.MetricsFile],
		}, users, "not a readable Parquet file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, b.refuses(t, b.forge(t, c.files, c.change)), c.reason)
			versions, err := b.store.Versions(b.ctx)
			require.NoError(t, err)
			require.Equal(t, vectorstore.Rejected, versions[0].State)
			require.Contains(t, versions[0].Reason, c.reason)
		})
	}
	t.Run("and a good one is loaded", func(t *testing.T) {
		files := map[string][]byte{
			model.ItemsCSV: []byte("\ufeffname,id,embedding,line\nLast,b,\"[3, 4]\",Ships\nFirst,a,\"[1,2e-1]\",\n"),
			model.UsersCSV: []byte("id,embedding\r\n103,\"[1,0]\"\r\n"),
		}
		out, err := modelloader.Load(b.ctx, b.objects, b.store, b.forge(t, files, users))
		require.NoError(t, err)
		require.True(t, out.Activated)
		active, err := b.store.Active(b.ctx)
		require.NoError(t, err)
		list, err := b.store.Items(b.ctx, active, "", "line")
		require.NoError(t, err)
		require.Equal(t, vectorstore.Items{
			IDs: []string{"a", "b"}, Names: []string{"First", "Last"}, Embeddings: []float32{1, .2, 3, 4}, Bias: []float32{0, 0}, Category: []string{"", "Ships"},
		}, list)
	})
}

// endless never ends what it is asked for.
type endless struct {
	lake.Store
	suffix string
}

func (e endless) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	if strings.HasSuffix(key, e.suffix) {
		return io.NopCloser(zeros{}), "", nil
	}
	return e.Store.Get(ctx, key)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Not parallel: it measures what the process allocates.
func TestBombsAreRefusedInBoundedMemory(t *testing.T) {
	b := setup(t)
	_, err := modelloader.Load(b.ctx, b.objects, b.store, b.publish(t, "1", lake.Candidate))
	require.NoError(t, err)
	for _, c := range []struct {
		name, reason string
		objects      lake.Store
		key          string
	}{
		{"manifest without an end", "larger than", endless{b.objects, "v9/manifest.json"}, lake.ModelMarker("v9")},
		{"items without an end", lake.ErrStale.Error(), endless{b.objects, model.ItemsFile}, b.publish(t, "3", lake.Candidate)},
		{"encoder without an end", lake.ErrStale.Error(), endless{b.objects, model.EncoderFile}, b.publish(t, "4", lake.Candidate)},
		{"name of 100 MB in 10 KB", parquetfile.ErrScreened.Error(), b.objects, b.bomb(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.objects = c.objects
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.Contains(t, b.refuses(t, c.key), c.reason)
			runtime.ReadMemStats(&after)
			t.Logf("%d MB allocated", (after.TotalAlloc-before.TotalAlloc)>>20)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<20)) // a manifest of 64 MiB is read with append
		})
	}
}

// bomb publishes an item whose name unpacks to 100 MB, in a page of some KB.
func (b bundle) bomb(t *testing.T) string {
	var items bytes.Buffer
	w, err := parquetwriter.New(&items, model.EntityColumns())
	require.NoError(t, err)
	require.NoError(t, w.Append(schema.Row{{Bytes: []byte("a")}, {Bytes: bytes.Repeat([]byte("a"), 100<<20)}, {Vector: []float32{1, 2}}, {}, {}, {Bytes: []byte("{}")}}))
	require.NoError(t, w.Close())
	files := map[string][]byte{model.ItemsFile: items.Bytes(), model.UsersFile: table(t)}
	for _, name := range []string{model.EncoderFile, model.MetricsFile} {
		text, err := os.ReadFile(filepath.Join(b.dir, filepath.FromSlash(lake.ModelDir("v1")+name)))
		require.NoError(t, err)
		files[name] = bytes.ReplaceAll(text, []byte(`"v1"`), []byte(`"v2"`))
	}
	t.Logf("items.parquet has %d bytes", len(files[model.ItemsFile]))
	return b.forge(t, files, func(m *lake.ModelManifest) { m.Counts.Items = 1 })
}
