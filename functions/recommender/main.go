// Command recommender is the Lambda function that turns shop events into recommendations.
package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/delivery"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/secret"
	"github.com/millrace/millrace/shared/settings"
	"github.com/millrace/millrace/shared/vectorstore"
)

type config struct {
	Bucket  string `env:"LAKE_BUCKET"`
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
	Secret  string `env:"POSTGRES_SECRET_ARN"`
	Stream  string `env:"RECOMMENDATION_STREAM_NAME"`
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
		store, err := vectorstore.Open(ctx, secret.Postgres(secretsmanager.NewFromConfig(cloud), cfg.Secret))
		if err != nil {
			return nil, err
		}
		r := &recommender{
			names: shop.Event, models: activemodel.New(store, shop, activemodel.BoundMemory()), activity: store,
			records:    delivery.New(firehose.NewFromConfig(cloud), cfg.Stream, delivery.Wait, rand.Float64),
			quarantine: lake.NewBucket(cloud, cfg.Bucket),
			metrics:    metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return r.Handle, nil
	})
}
