// Command extractor is the Lambda function that lands one MySQL table in the lake.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/secret"
	"github.com/millrace/millrace/shared/settings"
)

type config struct {
	Bucket  string `env:"LAKE_BUCKET"`
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
	Secret  string `env:"MYSQL_SECRET_ARN"`
}

func main() {
	debug.SetGCPercent(extract.GCPercent)
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
		secrets := secretsmanager.NewFromConfig(cloud)
		e := &extractor{
			store: lake.NewBucket(cloud, cfg.Bucket), dataset: shop, limits: extract.DefaultLimits,
			connect: func(ctx context.Context) (*mysqltable.Server, error) {
				database, err := secret.Read(ctx, secrets, cfg.Secret)
				if err != nil {
					return nil, err
				}
				return mysqltable.Open(mysqlConfig(database))
			},
			invoke:  invokeSelf(lambda.NewFromConfig(cloud)),
			metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return e.Handle, nil
	})
}
