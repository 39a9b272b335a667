package mysqltable_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/schema"
)

// largeTable asks this process to be the one whose memory TestLargeValuesAreReadInBoundedMemory measures.
const largeTable = "MILLRACE_LARGE_TABLE"

func TestLargeValuesAreReadInBoundedMemory(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	db.Exec(t, "CREATE TABLE books (id INT PRIMARY KEY, text LONGTEXT, picture LONGBLOB)",
		// 32 MiB in the longest rows, that compress badly.
		"INSERT INTO books SELECT seq, REPEAT(SHA2(seq, 512), 131072), REPEAT(UNHEX(SHA2(seq, 512)), 262144) FROM seq_1_to_4")
	reader := exec.Command(os.Args[0])
	cfg := db.Config()
	// The limit makes the garbage collector keep up on a busy machine.
	reader.Env = append(os.Environ(), largeTable+"="+cfg.FormatDSN(), "GOMEMLIMIT=300MiB")
	out, err := reader.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var rows, kilobytes int64
	_, err = fmt.Sscanf(string(out), "%d rows, %d KiB", &rows, &kilobytes)
	require.NoError(t, err, "%s", out)
	require.EqualValues(t, 4, rows)
	require.Less(t, kilobytes>>10, int64(330), "MiB at the peak, of a function of 512")
}

// readLarge reads a table into an Avro file, as an extraction does, and tells its peak memory.
func readLarge(dsn string) error {
	cfg, err := mysqltable.ParseDSN(dsn)
	if err != nil {
		return err
	}
	server, err := mysqltable.Open(cfg)
	if err != nil {
		return err
	}
	defer server.Close()
	snapshot, err := server.Snapshot(context.Background())
	if err != nil {
		return err
	}
	defer snapshot.Close()
	table, err := snapshot.Table(context.Background(), "books", strict)
	if err != nil {
		return err
	}
	file, err := avrofile.NewWriter(io.Discard, table.Columns)
	if err != nil {
		return err
	}
	sum := checksum.New(table.Columns)
	if _, err := table.Read(context.Background(), mysqltable.Range{}, 100, func(row schema.Row, crc uint32) error {
		if sum.Add(row) != crc {
			return fmt.Errorf("%s differs", table.RowName(row))
		}
		return file.Append(row)
	}); err != nil {
		return err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	fmt.Printf("%d rows, %d KiB\n", sum.Sum().Rows, usage.Maxrss)
	return file.Close()
}

func TestARowLargerThanTheMemoryIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	db := mariadb.Database(t)
	const mib = 1 << 20
	db.Exec(t, "CREATE TABLE books (id INT PRIMARY KEY, a LONGTEXT, b MEDIUMBLOB, title VARCHAR(10))",
		fmt.Sprintf("INSERT INTO books VALUES (1, REPEAT('x', %d), REPEAT('y', %d), 'fits'), (2, REPEAT('x', %d), REPEAT('y', %d), 'is one byte more')", 24*mib, 8*mib, 24*mib, 8*mib+1))
	var visited []int64
	_, err := open(t, db, "books", strict).Read(context.Background(), mysqltable.Range{}, 10, func(row schema.Row, _ uint32) error {
		visited = append(visited, row[0].Int)
		require.Equal(t, 24*mib, bytes.Count(row[1].Bytes, []byte("x")))
		return nil
	})
	require.Equal(t, []int64{1}, visited)
	for _, part := range []string{"table books", "row id = 2", "33554433 bytes", "33554432 that fit", "GOMEMLIMIT", "view"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), strings.Repeat("x", 100))
}
