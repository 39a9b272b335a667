// Command millrace is the operator's tool: the same cores as the functions, from a terminal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn) // what the functions log of their work is nothing for a terminal
	if err := newCommand().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "millrace: interrupted: nothing is half-published, and the same command may be repeated")
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "millrace:", err)
		if some := rejectedEvents(0); errors.As(err, &some) {
			os.Exit(2) // scripts tell it from a failure
		}
		os.Exit(1)
	}
}

// options hold what every command takes.
type options struct {
	stack string
	json  bool
}

func newCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "millrace",
		Short:         "Recommendations from your own MySQL, in your own AWS account",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	stack := os.Getenv("MILLRACE_STACK")
	if stack == "" {
		stack = "millrace"
	}
	root.PersistentFlags().StringVar(&o.stack, "stack", stack, "CloudFormation stack; default from MILLRACE_STACK")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	root.AddCommand(
		newStatus(&o), newRun(&o), newRollback(&o), newPromote(&o), newLoad(&o), newRecommend(&o), newLineage(&o), newSend(&o),
		newRedrive(&o), newReplay(&o), newExperiment(&o), newCompare(&o),
		newTrain(&o), newEvaluate(&o),
		newExtract(&o), newPartition(&o), newVerify(&o), newInspect(&o),
	)
	return root
}

// show prints v as JSON if that is asked for, else what text writes.
func (o *options) show(w io.Writer, v any, text func(io.Writer)) error {
	if !o.json {
		text(w)
		return nil
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
