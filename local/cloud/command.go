package cloud

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func (s Settings) logPath(name string) string { return filepath.Join(s.Dir, "log", name+".log") }

// command is a program that runs to its end.
type command struct {
	words       []string
	dir         string
	environment []string
	attributes  syscall.SysProcAttr
	log         string
}

// run runs the command with its output appended to the log file; an error carries the end of that output.
func (c command) run(ctx context.Context) error {
	log, err := openLog(c.log)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "\n%s $ %s\n", time.Now().Format(time.RFC3339), strings.Join(c.words, " "))
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.words[0], c.words[1:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = c.dir, c.environment, &c.attributes
	cmd.Stdout, cmd.Stderr = log, log
	// An interrupt asks the command to end; only one that does not is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", filepath.Base(c.words[0]), ctx.Err())
		}
		return fmt.Errorf("%s failed: %w\n%s\n    (all of it: %s)", strings.Join(c.shortened(), " "), err, tail(c.log, start), c.log)
	}
	return nil
}

// shortened names a command by its program and first words.
func (c command) shortened() []string {
	short := []string{filepath.Base(c.words[0])}
	return append(short, c.words[1:min(len(c.words), 4)]...)
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// tail is the last lines of a log from the offset on, indented.
func tail(path string, offset int64) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	b = b[min(offset, int64(len(b))):]
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	const enough = 20
	return "    " + strings.Join(lines[max(0, len(lines)-enough):], "\n    ")
}
