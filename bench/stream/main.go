// Command stream measures the streaming half and writes its tables of bench/RESULTS.md: the recommender, the fold-in alone, and the loader. It
// wants a PostgreSQL of a superuser (POSTGRES_URL) and an emulated AWS (AWS_ENDPOINT_URL): go run ./local with-servers go run ./bench/stream.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace/millrace/bench/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-stream:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("stream", flag.ContinueOnError)
	items := flags.String("items", "10000,100000,1000000", "sizes of the catalogs, separated by commas")
	path := flags.String("results", "bench/RESULTS.md", "file whose tables are replaced; empty: print only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	sizes, err := numbers(*items)
	if err != nil {
		return fmt.Errorf("--items: %w", err)
	}
	if os.Getenv("POSTGRES_URL") == "" || os.Getenv("AWS_ENDPOINT_URL") == "" {
		return errors.New("POSTGRES_URL or AWS_ENDPOINT_URL is not set: go run ./local with-servers go run ./bench/stream")
	}
	var text strings.Builder
	text.WriteString(results.Machine(ctx))
	for _, measure := range []func(context.Context, []int, *strings.Builder) error{recommender, foldIn, loader} {
		if err := measure(ctx, sizes, &text); err != nil {
			return err
		}
	}
	results.Print("stream", text.String())
	if *path == "" {
		return nil
	}
	return results.Publish(*path, "stream", text.String())
}

func numbers(text string) (list []int, err error) {
	for size := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1000 {
			return nil, fmt.Errorf("%q: want whole numbers from 1000, separated by commas", size)
		}
		list = append(list, n)
	}
	return list, nil
}

// recommender runs the measurements that are a test of the function, whose package cannot be imported.
func recommender(ctx context.Context, sizes []int, out *strings.Builder) error {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tables := filepath.Join(dir, "tables.md")
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "2h", "-run", "^TestFigures$", "-v", "./functions/recommender")
	test.Env = append(os.Environ(), "BENCH_STREAM="+strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes), " ", ","), "[]"), "BENCH_STREAM_TABLES="+tables)
	test.Stdout, test.Stderr = os.Stderr, os.Stderr
	if err := test.Run(); err != nil {
		return fmt.Errorf("the recommender's figures: %w", err)
	}
	text, err := os.ReadFile(tables)
	out.Write(text)
	return err
}

var foldInLine = regexp.MustCompile(`(?m)^BenchmarkFoldIn\S*/(\d+)x(\d+)\s.*?([\d.]+) ns/op`)

// foldIn runs the benchmark of one user's fold-in, whose sizes are its own.
func foldIn(ctx context.Context, _ []int, out *strings.Builder) error {
	said, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "FoldIn", "-cpu", "1", "./shared/foldin").CombinedOutput()
	if err != nil {
		return fmt.Errorf("the fold-in's benchmark: %w: %s", err, said)
	}
	out.WriteString("\n### One user folded in, and the best 20 of all items\n\nA session of ten items, one core.\n\n| items × d | ms a user |\n|---:|---:|\n")
	lines := foldInLine.FindAllStringSubmatch(string(said), -1)
	if len(lines) == 0 {
		return fmt.Errorf("the fold-in's benchmark says nothing: %s", said)
	}
	for _, m := range lines {
		nanoseconds, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return err
		}
		items, err := strconv.Atoi(m[1])
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| %d × %s | %.2f |\n", items, m[2], nanoseconds/1e6)
	}
	return nil
}
