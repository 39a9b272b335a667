// Command partitioner is the Lambda function that turns a raw run of a table into curated Parquet.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/glue"

	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/settings"
)

type config struct {
	Bucket   string `env:"LAKE_BUCKET"`
	Dataset  string `env:"DATASET" envDefault:"classicmodels"`
	Database string `env:"GLUE_DATABASE"`
}

func main() {
	debug.SetGCPercent(partition.GCPercent)
	run.Lambda(func(ctx context.Context, env settings.Source) (any, error) {
		cfg, err := settings.Load[config](env)
		if err != nil {
			return nil, err
		}
		shop, err := dataset.Load(cfg.Dataset)
		if err != nil {
			return nil, err
		}
		cloud, err := run.AWS(ctx)
		if err != nil {
			return nil, err
		}
		p := &partitioner{
			store: lake.NewBucket(cloud, cfg.Bucket), bucket: cfg.Bucket, dataset: shop,
			catalog: catalog.New(glue.NewFromConfig(cloud)), database: cfg.Database, limits: partition.DefaultLimits(),
			metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return p.Handle, nil
	})
}
