// Command trainer is the Lambda function that turns a training set into a published model.
package main

import (
	"context"
	"os"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/settings"
)

type config struct {
	Bucket  string `env:"LAKE_BUCKET"`
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
}

func main() {
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
		t := &trainer{
			store: lake.NewBucket(cloud, cfg.Bucket), bucket: cfg.Bucket, dataset: shop,
			metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return t.Handle, nil
	})
}
