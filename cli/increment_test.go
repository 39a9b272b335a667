package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
)

const (
	monday  = "20261116T020000Z"
	tuesday = "20261117T020000Z"
)

func (s shop) extract(t *testing.T, dir, run string, flags ...string) (extraction, error) {
	t.Helper()
	out, err := millrace(t, append([]string{"extract", "--dsn", s.dsn, "--table", "orders", "--run", run, "--out", dir, "--json"}, flags...)...)
	if err != nil {
		return extraction{}, err
	}
	return decode[extraction](t, out), nil
}

func TestAnIncrementIsExtractedPartitionedAndVerifiedAgainstItsRows(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	s.Exec(t, "ALTER TABLE orders ADD changed DATETIME NOT NULL DEFAULT '2026-11-15 10:00:00'")
	flags := []string{"--mode", "incremental", "--watermark", "changed", "--overlap", "1m"}
	x, err := s.extract(t, dir, monday, flags...)
	require.NoError(t, err)
	require.EqualValues(t, 3000, x.Rows)
	s.Exec(t, "UPDATE orders SET price = 9, changed = '2026-11-16 10:00:00' WHERE price < 0")
	x, err = s.extract(t, dir, tuesday, flags...)
	require.NoError(t, err)
	require.Equal(t, "2026-11-15 09:59:00", *x.Watermark.Low)
	require.Equal(t, "2026-11-16 10:00:00", x.Watermark.High)
	require.EqualValues(t, 3000, x.Rows, "all the others have the greatest value of Monday")
	s.Exec(t, "UPDATE orders SET changed = '2026-11-14' WHERE price >= 0 AND changed < '2026-11-16'")
	wednesday := "20261118T020000Z"
	x, err = s.extract(t, dir, wednesday, flags...)
	require.NoError(t, err)
	require.EqualValues(t, 499, x.Rows)

	_, err = millrace(t, "partition", "--in", dir, "--table", "orders", "--run", wednesday, "--out", dir)
	require.NoError(t, err)
	verify := func() (string, error) {
		return millrace(t, "verify", "--dsn", s.dsn, "--in", dir, "--table", "orders", "--run", wednesday)
	}
	s.Exec(t, "INSERT INTO orders (id, price, changed) VALUES (1, 1, '2026-11-18 10:00:00')") // of the next run
	out, err := verify()
	require.NoError(t, err)
	require.Contains(t, out, "compared     the rows of an incremental run, changed from 2026-11-16 09:59:00 to 2026-11-16 10:00:00")
	require.Contains(t, out, "equal: the published files hold these rows as they are now")

	s.Exec(t, "UPDATE orders SET price = 10, changed = '2026-11-18 11:00:00' WHERE changed = '2026-11-16 10:00:00' LIMIT 5")
	_, err = verify()
	require.ErrorContains(t, err, "the table has 494 rows, the published files 499 rows")
	require.ErrorContains(t, err, "since then 6 rows got a changed above 2026-11-16 10:00:00")
	require.ErrorContains(t, err, "verify the next run, which holds them")

	s.Exec(t, "UPDATE orders SET price = 11 WHERE changed = '2026-11-16 10:00:00' LIMIT 1", "DELETE FROM orders WHERE changed > '2026-11-18'")
	_, err = verify()
	require.ErrorContains(t, err, "the table has changed since")

	_, err = s.extract(t, dir, wednesday)
	require.ErrorContains(t, err, "published already, in mode incremental")
}

func TestMistakesInTheFlagsOfAnExtractionAreNamedTogether(t *testing.T) {
	t.Parallel()
	_, err := setupShop(t).extract(t, t.TempDir(), monday, "--mode", "incremental", "--zero-dates", "keep", "--invalid-text", "keep", "--accept-drift", "price")
	for _, part := range []string{"--watermark", `--zero-dates "keep": want fail or null`, `--invalid-text "keep"`, `--accept-drift "price": want column=type`} {
		require.ErrorContains(t, err, part)
	}
}

func TestAChangeThatBreaksReadersIsAcceptedByTheFlagThatTheErrorNames(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	_, err := s.extract(t, dir, monday)
	require.NoError(t, err)
	s.Exec(t, "ALTER TABLE orders MODIFY price DECIMAL(12,2) NOT NULL, DROP city")
	_, err = s.extract(t, dir, tuesday)
	require.ErrorContains(t, err, "column city varchar(20) was dropped; column price was decimal(10,2), is decimal(12,2)")
	require.ErrorContains(t, err, "repeat the command with --accept-drift 'city=dropped' --accept-drift 'price=decimal(12,2)'")
	x, err := s.extract(t, dir, tuesday, "--accept-drift", "city=dropped", "--accept-drift", "price=decimal(12,2)")
	require.NoError(t, err)
	require.Len(t, x.Drift, 2)
}

// full is a store on a disk that is full after two files.
type full struct {
	*lake.Directory
	files int
}

var errFull = errors.New("no space left on device")

func (f *full) Create(ctx context.Context, key string, r io.Reader) error {
	if f.files++; f.files > 2 {
		return errFull
	}
	return f.Directory.Create(ctx, key, r)
}

func TestABrokenOffExtractionGoesOnWhenTheCommandIsRepeated(t *testing.T) {
	t.Parallel()
	s, dir := setupShop(t), t.TempDir()
	server, err := mysqltable.Open(s.Config())
	require.NoError(t, err)
	defer server.Close()
	limits := extract.DefaultLimits
	limits.SectionRows = 1000
	_, err = (&extract.Extractor{Server: server, Store: &full{Directory: lake.NewDirectory(dir)}, Limits: limits}).Extract(t.Context(), extract.Request{
		Dataset: s.Name, Table: "orders", Run: monday,
		Settings: dataset.Table{Extract: dataset.Extract{Mode: dataset.Full, ZeroDates: dataset.ZeroDatesFail, InvalidText: dataset.InvalidTextFail}},
	})
	require.ErrorIs(t, err, errFull)

	var notices strings.Builder
	x, err := land(t.Context(), mysqlSource{s.dsn}, tableRun{"orders", monday}, dataset.Table{Extract: dataset.Extract{Mode: dataset.Full, ZeroDates: dataset.ZeroDatesFail, InvalidText: dataset.InvalidTextFail}}, dir, &bar{}, &notices)
	require.NoError(t, err)
	require.EqualValues(t, 2000, x.Resumed)
	require.EqualValues(t, 3000, x.Rows)
	require.Contains(t, notices.String(), "orders, run 20261116T020000Z: going on from the checkpoint: 2000 rows in 2 files have landed")
}
