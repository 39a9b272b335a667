// Command bench measures millrace's batch path beside other ways to get a MySQL table into Parquet, and writes the table of
// bench/RESULTS.md. Every job is a process of its own; jobs take turns, so that what disturbs the machine disturbs all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

type options struct {
	rows        []int
	repetitions int
	only        *regexp.Regexp
	dir         string // for servers, outputs and the peers' virtual environment
	results     string
	root        string // of the repository
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "job" {
		return runOwn(ctx, args[1:])
	}
	o := options{root: ".", only: regexp.MustCompile("")}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rows := flags.String("rows", "2000000,20000000", "rows of the table; several, separated by commas")
	flags.IntVar(&o.repetitions, "repetitions", 5, "how often each job runs; the median is shown")
	flags.Func("only", "measure jobs whose name matches this regular expression; without effect on RESULTS.md", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	flags.StringVar(&o.dir, "dir", ".local/bench", "directory for the server, what is written, and the peers; 20 million rows take 10 GB")
	flags.StringVar(&o.results, "results", "bench/RESULTS.md", "file whose table is replaced; empty: print it only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, text := range strings.Split(*rows, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("--rows %q: want whole numbers separated by commas", *rows)
		}
		o.rows = append(o.rows, n)
	}
	if o.repetitions < 1 {
		return errors.New("--repetitions: want 1 or more")
	}
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	return measureAll(ctx, o)
}
