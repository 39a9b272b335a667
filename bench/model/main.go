// Command model measures millrace's models on public data, beside published figures and other libraries, and writes the tables of
// bench/RESULTS.md. It fetches no data: what lies in ../shared/data beside the checkout is measured, and what does not is said.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace/millrace/bench/results"
)

type options struct {
	data, dir, millrace string
	dimensions          string
	peers               bool
	results             string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-model:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("model", flag.ContinueOnError)
	flags.StringVar(&o.data, "data", "../shared/data", "directory of gowalla/, diginetica/ and online-retail/")
	flags.StringVar(&o.dir, "dir", ".local/bench-model", "directory for converted data, artifacts and the peers")
	flags.StringVar(&o.millrace, "millrace", ".local/bench-model/millrace", "the built command")
	flags.StringVar(&o.dimensions, "dimensions", "64,128,256", "of Gowalla")
	flags.BoolVar(&o.peers, "peers", true, "measure implicit and PySpark too")
	flags.StringVar(&o.results, "results", "bench/RESULTS.md", "file whose tables are replaced; empty: print only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, path := range []*string{&o.data, &o.dir, &o.millrace} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	measured := 0
	for _, set := range []struct {
		name    string
		measure func(context.Context, options, *strings.Builder) error
	}{{"gowalla", gowalla}, {"diginetica", diginetica}, {"online-retail", onlineRetail}} {
		if _, err := os.Stat(filepath.Join(o.data, set.name)); errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "bench-model: %s is not in %s: not measured\n", set.name, o.data)
			continue
		}
		if err := set.measure(ctx, o, &text); err != nil {
			return fmt.Errorf("%s: %w", set.name, err)
		}
		measured++
	}
	if measured == 0 {
		return nil
	}
	tables := results.Machine(ctx) + "\n" + text.String()
	results.Print("model", tables)
	if o.results == "" {
		return nil
	}
	return results.Publish(o.results, "model", tables)
}
