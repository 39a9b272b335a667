// Command api is the Lambda function that answers recommendations and takes shop events over HTTP.
package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/delivery"
	"github.com/millrace/millrace/shared/functionurl"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/secret"
	"github.com/millrace/millrace/shared/settings"
	"github.com/millrace/millrace/shared/vectorstore"
)

type config struct {
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
	Secret  string `env:"POSTGRES_SECRET_ARN"`
	Stream  string `env:"EVENT_STREAM_NAME"`
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
		a := &api{
			names: shop.Event, models: activemodel.New(store, shop, activemodel.BoundMemory()), store: store,
			stream: kinesis.NewFromConfig(cloud), streamName: cfg.Stream,
			now: time.Now, wait: delivery.Wait, random: rand.Float64,
		}
		return functionurl.Handler(a.Handler()), nil
	})
}
