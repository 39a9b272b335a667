// Command trainer turns a training set into a published model: as a Lambda function, or, in a container, for the marker whose key is its
// argument.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/settings"
)

type config struct {
	Bucket   string `env:"LAKE_BUCKET"`
	Dataset  string `env:"DATASET" envDefault:"classicmodels"`
	MemoryMB int64  `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE" envDefault:"0"` // set by Lambda
	JobMB    int64  `env:"TRAINER_JOB_MEMORY" envDefault:"0"`              // set by the job definition
}

func main() {
	if len(os.Args) == 2 {
		run.Job(func(ctx context.Context, env settings.Source) error {
			t, err := build(ctx, env)
			if err != nil {
				return err
			}
			return t.Train(ctx, os.Args[1])
		})
		return
	}
	run.Lambda(func(ctx context.Context, env settings.Source) (any, error) {
		t, err := build(ctx, env)
		if err != nil {
			return nil, err
		}
		return t.Handle, nil
	})
}

func build(ctx context.Context, env settings.Source) (*trainer, error) {
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
	memory := max(cfg.MemoryMB, cfg.JobMB) << 20
	if memory > 0 {
		// What a garbage collection has not yet found must not be what ends the process.
		debug.SetMemoryLimit(memory / 10 * 9)
	}
	return &trainer{
		store: lake.NewBucket(cloud, cfg.Bucket), bucket: cfg.Bucket, dataset: shop, memory: memory,
		metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
	}, nil
}
