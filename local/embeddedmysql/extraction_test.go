package embeddedmysql_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/seed"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// Each row and each chunk is reconciled with this server's checksum as with a real one's.
func TestTablesAreReadInReconciledRanges(t *testing.T) {
	t.Parallel()
	dsn, db := setup(t)
	_, err := seed.Load(t.Context(), db, seed.ClassicModels)
	require.NoError(t, err)
	for _, statement := range []string{
		"CREATE TABLE visits (id INT NOT NULL PRIMARY KEY, at DATETIME, seen TIMESTAMP NULL, d DOUBLE, n BIGINT UNSIGNED, INDEX w (at))",
		"INSERT INTO visits VALUES (1, '2020-01-01 10:00:00', '2020-01-01 00:00:01', 0.1, 18446744073709551615), (2, '2020-01-02', NULL, -2.5e10, 0), (3, '2020-01-03 00:00:01', '2021-01-01', NULL, NULL)",
	} {
		_, err := db.Exec(statement)
		require.NoError(t, err)
	}
	cfg, err := mysqltable.ParseDSN(dsn)
	require.NoError(t, err)
	server, err := mysqltable.Open(cfg)
	require.NoError(t, err)
	defer server.Close()
	snapshots, err := server.Snapshots(context.Background(), 2)
	require.NoError(t, err)
	require.Len(t, snapshots, 1, "nothing shows that two were of one moment")
	defer snapshots[0].Close()
	require.Empty(t, snapshots[0].Position)

	low := "2020-01-01 10:00:00"
	ranges := map[string][]mysqltable.Range{"visits": {{}, {Watermark: &mysqltable.WatermarkBounds{Column: "at", Low: &low, High: "2020-01-02 00:00:00"}}}}
	for _, name := range []string{"customers", "products", "orders", "orderdetails", "ratings"} {
		ranges[name] = []mysqltable.Range{{}}
	}
	rows := map[string]int64{}
	for name := range ranges {
		table, err := snapshots[0].Table(context.Background(), name, mysqltable.Options{})
		require.NoError(t, err)
		for i, r := range ranges[name] {
			total := checksum.New(table.Columns)
			for {
				sum := checksum.New(table.Columns)
				next, err := table.Read(context.Background(), r, 1000, func(row schema.Row, crc uint32) error {
					require.Equal(t, crc, sum.Add(row), "%s: %s", name, table.RowName(row))
					total.Add(row)
					return nil
				})
				require.NoError(t, err)
				chunk := r
				if next != nil {
					chunk.To = next
				}
				n, err := table.Count(context.Background(), chunk)
				require.NoError(t, err)
				require.Equal(t, sum.Sum().Rows, n)
				server, err := table.Checksum(context.Background(), chunk)
				require.NoError(t, err)
				require.Equal(t, server, sum.Sum(), name)
				if next == nil {
					break
				}
				at, err := table.KeyAt(context.Background(), r, 1000)
				require.NoError(t, err)
				require.Equal(t, next, at)
				r.From = next
			}
			rows[fmt.Sprint(name, i)] = total.Sum().Rows
		}
		if name == "visits" {
			high, nulls, err := table.High(context.Background(), "at")
			require.NoError(t, err)
			require.False(t, nulls)
			require.Equal(t, "2020-01-03 00:00:01", *high)
		}
	}
	require.Equal(t, map[string]int64{"visits0": 3, "visits1": 2, "customers0": 122, "products0": 110, "orders0": 326, "orderdetails0": 2996, "ratings0": 3649}, rows)
}
