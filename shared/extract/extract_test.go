package extract_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/mysqltable/mariadbtest"
	"github.com/millrace/millrace/shared/schema"
)

// mariadb is one server for all tests of the package, each with a database of its own; nil if
// MariaDB is not installed.
var mariadb *mariadbtest.Server

func TestMain(m *testing.M) {
	if text := os.Getenv(invocationVariable); text != "" {
		if err := runInvocation(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	mariadbtest.Main(m, &mariadb)
}

const run = lake.Run("20261122T020000Z")

var full = dataset.Table{Extract: dataset.Extract{Mode: dataset.Full, ZeroDates: dataset.ZeroDatesFail}}

// small limits cut a table of a few thousand rows into many chunks, several files and three sections.
var small = extract.Limits{FirstChunkRows: 100, ChunkBytes: 10_000, FileBytes: 40_000, SectionRows: 8000}

// setup makes a table of 20,000 ratings and an extractor into an empty directory.
func setup(t *testing.T) (*mariadbtest.Database, *extract.Extractor, string) {
	t.Helper()
	db := mariadb.Database(t)
	db.Exec(t, `CREATE TABLE ratings (customer INT, product VARCHAR(15), stars TINYINT, price DECIMAL(10,2) NOT NULL,
		city VARCHAR(50), rated DATETIME(6), PRIMARY KEY (customer, product))`,
		`INSERT INTO ratings SELECT seq DIV 7, CONCAT('S', seq, '-ç'), seq MOD 5, seq / 100, IF(seq MOD 8 = 0, NULL, '大阪 🧵'),
		'2020-01-01' + INTERVAL seq SECOND FROM seq_1_to_20000`)
	dir := t.TempDir()
	return db, &extract.Extractor{Server: connect(t, db), Store: lake.NewDirectory(dir), Limits: small}, dir
}

func connect(t *testing.T, db *mariadbtest.Database) *mysqltable.Server {
	t.Helper()
	server, err := mysqltable.Open(db.Config())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func request(table string) extract.Request {
	return extract.Request{Dataset: "shop", Table: table, Settings: full, Run: run}
}

// position is where the server's log was: it moves with every test that writes.
var position = regexp.MustCompile(`\s*"position": "[^"]*",?`)

// objects are the files below dir by their content: the SHA-256, and the text of manifests.
func objects(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == ".millrace" { // of uploads that were killed
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		body, err := os.ReadFile(path)
		if out[relative] = fmt.Sprintf("%x", sha256.Sum256(body)); strings.HasSuffix(path, ".json") {
			out[relative] = position.ReplaceAllString(string(body), "")
		}
		return err
	}))
	return out
}

// read reads a published run back: rows as text, checked against the manifest.
func read(t *testing.T, store lake.Store, m lake.RawManifest) (rows []string) {
	t.Helper()
	var total checksum.Sum
	for _, file := range m.Files {
		object, err := lake.Open(context.Background(), store, file)
		require.NoError(t, err)
		reader, err := avrofile.NewReader(object)
		require.NoError(t, err)
		require.Equal(t, m.Columns, reader.Columns())
		sum := checksum.New(m.Columns)
		var row schema.Row
		for {
			if row, err = reader.Next(row); errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			sum.Add(row)
			rows = append(rows, string(checksum.AppendText(nil, m.Columns, row)))
		}
		require.NoError(t, object.Close())
		require.Equal(t, file.Checksum, sum.Sum(), file.Key)
		require.Equal(t, file.Rows, sum.Sum().Rows)
		total = total.Plus(sum.Sum())
	}
	require.Equal(t, total, m.Checksum)
	require.Equal(t, total, m.Source)
	require.Equal(t, total.Rows, m.Rows)
	return rows
}

func TestFilesHoldTheTableAndTheManifestAgreesWithTheServer(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	var progress []extract.Progress
	e.Progress = func(p extract.Progress) { progress = append(progress, p) }
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.True(t, result.Published)
	m := result.Manifest
	require.Equal(t, lake.RawMarker("ratings", run), result.Key)
	require.Equal(t, lake.Consistent, m.Snapshot.Kind)
	require.Contains(t, m.Snapshot.Server, "MariaDB")
	require.Equal(t, []string{"customer", "product"}, m.Key)
	require.Len(t, objects(t, dir), len(m.Files)+1)

	got := read(t, e.Store, m)
	var want []string
	rows, err := db.DB.Query(`SELECT CONCAT_WS(X'1F', customer, product, stars, price, IFNULL(city, X'00'), rated) FROM ratings ORDER BY customer, product`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		want = append(want, text)
	}
	require.Len(t, want, 20000)
	require.Equal(t, want, got)

	require.Greater(t, len(m.Files), 2)
	require.Greater(t, len(m.Chunks), len(m.Files))
	for i, c := range m.Chunks {
		require.Equal(t, c.Source, c.Checksum)
		if i == 0 {
			require.Nil(t, c.From)
		} else {
			require.Equal(t, m.Chunks[i-1].To, c.From)
		}
	}
	require.Nil(t, m.Chunks[len(m.Chunks)-1].To)
	require.Len(t, progress, len(m.Chunks))
	require.EqualValues(t, 20000, progress[len(progress)-1].Rows)
	require.Equal(t, len(m.Chunks), progress[len(progress)-1].Chunks)
}

func TestSecondDeliveryOfARunChangesNothing(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	_, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	before := objects(t, dir)
	db.Exec(t, "DELETE FROM ratings WHERE customer > 10")
	again, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.False(t, again.Published)
	require.EqualValues(t, 20000, again.Manifest.Rows)
	require.Equal(t, before, objects(t, dir))
}

// dying fails at the n-th write, as if the process had ended there.
type dying struct {
	lake.Store
	left int
}

var errDied = errors.New("died")

func (d *dying) die() error {
	d.left--
	if d.left < 0 {
		return errDied
	}
	return nil
}

func (d *dying) Put(ctx context.Context, key string, r io.Reader) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.Store.Put(ctx, key, r)
}

func (d *dying) Create(ctx context.Context, key string, r io.Reader) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.Store.Create(ctx, key, r)
}

func (d *dying) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.Store.PutIf(ctx, key, body, etag)
}

func TestRetryAfterDyingAtAnyWriteLeavesTheSameObjects(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	result, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	want := objects(t, dir)
	for n := range len(result.Manifest.Files) + 1 {
		dir := t.TempDir()
		store := lake.NewDirectory(dir)
		broken := &extract.Extractor{Server: connect(t, db), Store: &dying{store, n}, Limits: small}
		_, err := broken.Extract(context.Background(), request("ratings"))
		require.ErrorIs(t, err, errDied)
		require.NotContains(t, objects(t, dir), filepath.FromSlash(result.Key), "nothing is published by half")
		broken.Store = store
		_, err = broken.Extract(context.Background(), request("ratings"))
		require.NoError(t, err)
		require.Equal(t, want, objects(t, dir), "died at write %d", n)
	}
}

func TestWritesDuringTheExtractionDoNotShow(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	_, err := e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	want := objects(t, dir)

	dir = t.TempDir()
	e.Store = lake.NewDirectory(dir)
	e.Progress = func(p extract.Progress) {
		if p.Chunks == 2 {
			db.Exec(t, "DELETE FROM ratings WHERE customer MOD 2 = 0", "UPDATE ratings SET stars = 9", "INSERT INTO ratings VALUES (999999, 'new', 1, 1, NULL, NULL)")
		}
	}
	_, err = e.Extract(context.Background(), request("ratings"))
	require.NoError(t, err)
	require.Equal(t, want, objects(t, dir))
}

func TestZeroDatesFollowTheTablesSetting(t *testing.T) {
	t.Parallel()
	db, e, dir := setup(t)
	db.Exec(t, "CREATE TABLE orders (id INT PRIMARY KEY, shipped DATE NOT NULL)",
		"INSERT INTO orders VALUES (1, '2020-01-01'), (2, '0000-00-00'), (3, '2020-00-00')")
	_, err := e.Extract(context.Background(), request("orders"))
	require.ErrorContains(t, err, "column shipped, row id = 2")
	require.Empty(t, objects(t, dir))

	r := request("orders")
	r.Settings.Extract.ZeroDates = dataset.ZeroDatesNull
	result, err := e.Extract(context.Background(), r)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"shipped": 2}, result.Manifest.ZeroDates)
	require.Equal(t, []string{"1\x1f2020-01-01", "2\x1f\x00", "3\x1f\x00"}, read(t, e.Store, result.Manifest))
}

func TestEmptyTableIsPublishedWithItsColumns(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	db.Exec(t, "CREATE TABLE empty (id INT PRIMARY KEY, v VARCHAR(5))")
	result, err := e.Extract(context.Background(), request("empty"))
	require.NoError(t, err)
	require.True(t, result.Published)
	require.Empty(t, read(t, e.Store, result.Manifest))
	require.Len(t, result.Manifest.Columns, 2)
}

func TestTableWithoutSnapshotsIsCalledFuzzy(t *testing.T) {
	t.Parallel()
	db, e, _ := setup(t)
	db.Exec(t, "CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM", "INSERT INTO old VALUES (1)")
	result, err := e.Extract(context.Background(), request("old"))
	require.NoError(t, err)
	require.Equal(t, lake.Fuzzy, result.Manifest.Snapshot.Kind)
	require.Contains(t, result.Manifest.Snapshot.Reason, "MyISAM")
}

func TestKeyOfTheDatasetMustExist(t *testing.T) {
	t.Parallel()
	_, e, _ := setup(t)
	r := request("ratings")
	r.Settings.Key = []string{"customerNumber"}
	_, err := e.Extract(context.Background(), r)
	require.ErrorContains(t, err, "the key in the dataset: no column customerNumber (there are: customer, product")
	r.Settings.Key = []string{"customer", "customer"}
	_, err = e.Extract(context.Background(), r)
	require.ErrorContains(t, err, "the key in the dataset: it names column customer twice: name it once")
}
