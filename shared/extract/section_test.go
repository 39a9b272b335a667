package extract_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
)

// together is a store whose first file waits for a second one to be begun.
type together struct {
	lake.Store
	mu    sync.Mutex
	begun int
	two   chan struct{}
}

func (s *together) Create(ctx context.Context, key string, r io.Reader) error {
	s.mu.Lock()
	if s.begun++; s.begun == 2 {
		close(s.two)
	}
	s.mu.Unlock()
	select {
	case <-s.two:
	case <-time.After(time.Minute):
		return errors.New("no second connection is at work")
	}
	return s.Store.Create(ctx, key, r)
}

func TestTwoConnectionsWriteTheObjectsOfOneWhateverTheKey(t *testing.T) {
	t.Parallel()
	db := quietServer(t)
	for name, statements := range map[string][]string{
		"sparse": {"CREATE TABLE sparse (id BIGINT PRIMARY KEY, v INT)",
			"INSERT INTO sparse SELECT IF(seq < 1900, seq, seq * 50000000000), seq FROM seq_1_to_2000"},
		"composite": {"CREATE TABLE composite (a INT, b DECIMAL(8,3), PRIMARY KEY (a, b))",
			"INSERT INTO composite SELECT seq DIV 900, -seq / 7 FROM seq_1_to_2000"},
		"names": {"CREATE TABLE names (name VARCHAR(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY)",
			"INSERT INTO names SELECT CONCAT(ELT(1 + seq MOD 4, 'Ä', 'a', 'Z', 'ß'), seq) FROM seq_1_to_2000"},
		"uuids": {"CREATE TABLE uuids (id BINARY(16) PRIMARY KEY)", "INSERT INTO uuids SELECT UNHEX(MD5(seq)) FROM seq_1_to_2000"},
		"exact": {"CREATE TABLE exact (id INT PRIMARY KEY)", "INSERT INTO exact SELECT seq FROM seq_1_to_1200"}, // three whole sections
	} {
		db.Exec(t, statements...)
		db.Exec(t, "ANALYZE TABLE "+name)
		var want map[string]string
		for ranges := 1; ranges <= 2; ranges++ {
			dir := t.TempDir()
			e := &extract.Extractor{Server: connect(t, db), Store: lake.NewDirectory(dir), Limits: tiny, Ranges: ranges}
			if ranges == 2 {
				e.Store = &together{Store: e.Store, two: make(chan struct{})}
			}
			result, err := e.Extract(context.Background(), request(name))
			require.NoError(t, err, name)
			read(t, lake.NewDirectory(dir), result.Manifest)
			if ranges == 1 {
				want = objects(t, dir)
				require.GreaterOrEqual(t, len(result.Manifest.Files), 3)
			}
			require.Equal(t, want, objects(t, dir), name)
		}
	}
}
