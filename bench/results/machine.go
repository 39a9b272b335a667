package results

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine says what figures were measured with: processor, Go, the vector experiment, and the commit that git describes here.
func Machine(ctx context.Context) string {
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
