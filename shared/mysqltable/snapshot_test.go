package mysqltable_test

import (
	"context"
	"net"
	"regexp"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// Every transaction keeps the sum of the two accounts; a snapshot beside another shows another
// sum unless both are of one moment.
func TestSnapshotsTogetherAreOfOneMoment(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE accounts (id INT PRIMARY KEY, money BIGINT)", "INSERT INTO accounts VALUES (1, 0), (2, 0)")
	stop, writers := make(chan struct{}), sync.WaitGroup{}
	writers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = db.DB.Exec("UPDATE accounts SET money = money + IF(id = 1, 1, -1)")
			}
		}
	})
	defer writers.Wait()
	defer close(stop)
	server, err := mysqltable.Open(db.Config())
	require.NoError(t, err)
	defer server.Close()
	together := 0
	for range 50 {
		snapshots, err := server.Snapshots(context.Background(), 2)
		require.NoError(t, err)
		sum := int64(0)
		for i, s := range snapshots {
			require.Equal(t, snapshots[0].Position, s.Position)
			table, err := s.Table(context.Background(), "accounts", strict)
			require.NoError(t, err)
			n := 0
			_, err = table.Read(context.Background(), mysqltable.Range{}, 10, func(row schema.Row, _ uint32) error {
				if n++; n == i+1 {
					sum += row[1].Int
				}
				return nil
			})
			require.NoError(t, err)
		}
		if len(snapshots) == 2 {
			together++
			require.Zero(t, sum)
		}
		for _, s := range snapshots {
			require.NoError(t, s.Close())
		}
	}
	require.NotZero(t, together)
}

func TestSnapshotsThatTheServerDoesNotShowToBeOfOneMomentAreOne(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	cfg := db.Config()
	connections := 0
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if connections++; connections == 2 {
			return &altered{conn, []byte("binlog.0"), []byte("binlog.9")}, err
		}
		return conn, err
	}
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	defer server.Close()
	snapshots, err := server.Snapshots(context.Background(), 3)
	require.NoError(t, err)
	require.Len(t, snapshots, 1)
	require.NoError(t, snapshots[0].Close())
}

func TestWithoutALogThereIsOneSnapshotAndNoPosition(t *testing.T) {
	t.Parallel()
	cfg := mariadb.Database(t).Config()
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &altered{conn, []byte("Binlog_snapshot_file"), []byte("Nothing_of_that_kind")}, err
	}
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	defer server.Close()
	snapshots, err := server.Snapshots(context.Background(), 2)
	require.NoError(t, err)
	require.Len(t, snapshots, 1)
	require.Empty(t, snapshots[0].Position)
	require.NoError(t, snapshots[0].Close())
}

func TestASnapshotKnowsItsPositionInTheLog(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	// An account without any privilege but SELECT sees it too.
	db.Exec(t, "CREATE TABLE t (id INT)", "CREATE USER '{database}'@'localhost'", "GRANT SELECT ON {database}.* TO '{database}'@'localhost'")
	cfg := db.Config()
	cfg.User = db.Name
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	defer server.Close()
	snapshot, err := server.Snapshot(context.Background())
	require.NoError(t, err)
	require.Regexp(t, regexp.MustCompile(`^binlog\.\d{6}:\d+$`), snapshot.Position)
	require.NoError(t, snapshot.Close())
	db.Exec(t, "INSERT INTO t VALUES (1)")
	later, err := server.Snapshot(context.Background())
	require.NoError(t, err)
	require.NotEqual(t, snapshot.Position, later.Position)
	require.NoError(t, later.Close())
}
