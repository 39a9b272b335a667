// Command trainset is the Lambda function that joins a run's curated tables into the training set.
package main

import (
	"context"
	"os"
	"time"

	awsathena "github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/glue"

	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/run"
	"github.com/millrace/millrace/shared/settings"
	"github.com/millrace/millrace/shared/trainset"
)

type config struct {
	Bucket   string `env:"LAKE_BUCKET"`
	Dataset  string `env:"DATASET" envDefault:"classicmodels"`
	Database string `env:"GLUE_DATABASE"`
	// Engine is auto, lambda or athena; the workgroup is where the latter's queries run.
	Engine    string `env:"ENGINE" envDefault:"auto"`
	Workgroup string `env:"ATHENA_WORKGROUP"`
	MemoryMB  int    `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE" envDefault:"1769"` // set by Lambda
}

// timeout is the template's, the longest that Lambda allows.
const timeout = 15 * time.Minute

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
		engine, err := trainset.ParseEngine(cfg.Engine)
		if err != nil {
			return nil, err
		}
		cloud, err := run.AWS(ctx)
		if err != nil {
			return nil, err
		}
		j := &joiner{
			store: lake.NewBucket(cloud, cfg.Bucket), bucket: cfg.Bucket, dataset: shop,
			catalog: catalog.New(glue.NewFromConfig(cloud)), database: cfg.Database,
			settings: trainset.Settings{
				Limits: trainset.LimitsOf(cfg.MemoryMB, timeout), Engine: engine,
				Athena: &trainset.Athena{
					Queries:  athena.New(awsathena.NewFromConfig(cloud), cfg.Workgroup, cfg.Database, athena.Poll),
					Database: cfg.Database, Location: "s3://" + cfg.Bucket + "/",
				},
			},
			metrics: metrics.New(os.Stdout, time.Now), now: time.Now,
		}
		return j.Handle, nil
	})
}
