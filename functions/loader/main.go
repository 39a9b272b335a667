// Command loader is the Lambda function that loads a published model into PostgreSQL and makes it active.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/secret"
	"github.com/millrace/millrace/shared/settings"
	"github.com/millrace/millrace/shared/vectorstore"
)

type config struct {
	Bucket string `env:"LAKE_BUCKET"`
	Secret string `env:"POSTGRES_SECRET_ARN"`
}

func main() {
	run.Lambda(func(ctx context.Context, env settings.Source) (any, error) {
		cfg, err := settings.Load[config](env)
		if err != nil {
			return nil, err
		}
		cloud, err := run.AWS(ctx)
		if err != nil {
			return nil, err
		}
		store, err := vectorstore.Open(ctx, secret.Postgres(secretsmanager.NewFromConfig(cloud), cfg.Secret))
		if err != nil {
			return nil, err
		}
		l := &loader{
			objects: lake.NewBucket(cloud, cfg.Bucket), bucket: cfg.Bucket, store: store,
			metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return l.Handle, nil
	})
}
