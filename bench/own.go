package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/xitongsys/parquet-go/parquet"
	"github.com/xitongsys/parquet-go/writer"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/partition"
)

const night lake.Run = "20261122T020000Z"

// runOwn is one job in this program, started by measure as a process of its own.
func runOwn(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("job", flag.ContinueOnError)
	dsn := flags.String("dsn", "", "")
	in := flags.String("in", "", "")
	out := flags.String("out", "", "")
	ranges := flags.Int("ranges", 1, "")
	by := flags.String("partition-by", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "extract":
		return extractTable(ctx, *dsn, *out, *ranges)
	case "partition":
		return partitionTable(ctx, *in, *out, *by)
	case "path":
		if err := extractTable(ctx, *dsn, *out, *ranges); err != nil {
			return err
		}
		return partitionTable(ctx, *out, *out, *by)
	case "naive":
		return naive(ctx, *dsn, *out)
	}
	return fmt.Errorf("no job %q", args[0])
}

func extractTable(ctx context.Context, dsn, out string, ranges int) (err error) {
	cfg, err := mysqltable.ParseDSN(dsn)
	if err != nil {
		return err
	}
	server, err := mysqltable.Open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	debug.SetGCPercent(extract.GCPercent)
	_, err = (&extract.Extractor{Server: server, Store: lake.NewDirectory(out), Limits: extract.DefaultLimits, Ranges: ranges}).
		Extract(ctx, extract.Request{Dataset: database, Table: table, Run: night, Settings: dataset.Table{Extract: dataset.Extract{Mode: dataset.Full, ZeroDates: dataset.ZeroDatesFail}}})
	return err
}

func partitionTable(ctx context.Context, in, out, by string) error {
	if in != out {
		// The same raw run serves every repetition.
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(in, "raw"), filepath.Join(out, "raw")); err != nil {
			return err
		}
	}
	var columns []string
	if by != "" {
		columns = strings.Split(by, ";")
	}
	debug.SetGCPercent(partition.GCPercent)
	_, err := partition.Write(ctx, lake.NewDirectory(out), lake.RawMarker(table, night), partition.Options{PartitionBy: columns, Limits: partition.DefaultLimits()})
	return err
}

// naiveRow is what an afternoon's program would have; the price becomes a float on the way.
type naiveRow struct {
	User    int64   `parquet:"name=user, type=INT64"`
	Product string  `parquet:"name=product, type=BYTE_ARRAY, convertedtype=UTF8"`
	Rating  int32   `parquet:"name=rating, type=INT32"`
	Price   float64 `parquet:"name=price, type=DOUBLE"`
	City    *string `parquet:"name=city, type=BYTE_ARRAY, convertedtype=UTF8"`
	TS      int64   `parquet:"name=ts, type=INT64, convertedtype=TIMESTAMP_MICROS"`
}

// naive scans rows into structs with database/sql and gives them to xitongsys's struct writer.
func naive(ctx context.Context, dsn, out string) (err error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return err
	}
	cfg.ParseTime = true
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT user, product, rating, price, city, ts FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	file, err := os.Create(filepath.Join(out, "part.parquet"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := writer.NewParquetWriterFromWriter(file, new(naiveRow), int64(runtime.NumCPU()))
	if err != nil {
		return err
	}
	w.CompressionType = parquet.CompressionCodec_ZSTD
	for rows.Next() {
		var row naiveRow
		var city sql.NullString
		var ts time.Time
		if err := rows.Scan(&row.User, &row.Product, &row.Rating, &row.Price, &city, &ts); err != nil {
			return err
		}
		if city.Valid {
			row.City = &city.String
		}
		row.TS = ts.UnixMicro()
		if err := w.Write(row); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), w.WriteStop())
}
