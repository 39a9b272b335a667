// Package run starts a Lambda function: logs, tracing, AWS configuration, and settings that
// are wrong said in every failed invocation rather than only in a crashed start.
package run

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-xray-sdk-go/instrumentation/awsv2"

	"github.com/millrace/millrace/shared/settings"
)

// Lambda serves the handler that build makes: any function that lambda.Start takes. If build
// fails, every invocation fails with its error, so that asynchronous events reach their
// on-failure destination with the reason instead of being lost in a crash loop.
func Lambda(build func(ctx context.Context, env settings.Source) (handler any, err error)) {
	env := settings.Environment()
	slog.SetDefault(Logger(env["LOG_LEVEL"]))
	handler, err := build(context.Background(), env)
	if err != nil {
		slog.Error("cannot start", "error", err)
		handler = func(context.Context, json.RawMessage) error { return err }
	}
	lambda.Start(handler)
}

// AWS loads the SDK's configuration; calls are traced where an X-Ray daemon listens (in
// Lambda it always does, locally there is none).
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err == nil && os.Getenv("AWS_XRAY_DAEMON_ADDRESS") != "" {
		awsv2.AWSV2Instrumentor(&cfg.APIOptions)
	}
	return cfg, err
}

// Logger writes JSON lines to stdout, each with the request id of its invocation. An unknown
// level means info.
func Logger(level string) *slog.Logger {
	var min slog.Level
	_ = min.UnmarshalText([]byte(level)) // its zero value is info
	return slog.New(requestID{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: min})})
}

// requestID adds the invocation's request id to records logged with its context.
type requestID struct{ slog.Handler }

func (h requestID) Handle(ctx context.Context, r slog.Record) error {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", invocation.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestID) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestID{h.Handler.WithAttrs(attrs)}
}

func (h requestID) WithGroup(name string) slog.Handler { return requestID{h.Handler.WithGroup(name)} }
