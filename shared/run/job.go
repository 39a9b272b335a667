package run

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/millrace/millrace/shared/settings"
)

// Job does work once, as a container's only process: the exit status says whether it succeeded. A container that is being stopped cancels
// the context.
func Job(work func(ctx context.Context, env settings.Source) error) {
	env := settings.Environment()
	slog.SetDefault(Logger(env["LOG_LEVEL"]))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := work(ctx, env)
	stop()
	if err != nil {
		slog.Error("job failed", "error", err)
		os.Exit(1)
	}
}
