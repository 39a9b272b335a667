package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/millrace/millrace/bench/results"
)

const (
	begin = "<!-- bench-model: written by make bench-model -->"
	end   = "<!-- /bench-model -->"
)

// publish prints the tables and puts them between the marks of the results file, or at its end.
func publish(ctx context.Context, o options, tables string) error {
	text := fmt.Sprintf("%s\n\n%s\n%s\n%s\n", begin, machine(ctx), tables, end)
	fmt.Print(text)
	if o.results == "" {
		return nil
	}
	return results.Replace(o.results, begin, end, text)
}

func machine(ctx context.Context) string {
	model := "an unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	commit := ""
	if out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%cs %h").Output(); err == nil {
		commit = ", commit of " + strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s, %d cores, %s, GOEXPERIMENT=%s%s.\n", model, runtime.NumCPU(), runtime.Version(), os.Getenv("GOEXPERIMENT"), commit)
}
