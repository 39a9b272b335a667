package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/local/gotest"
)

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [go test's arguments]",
		Short: "Run all tests, or those named, with servers of their own",
		Long: "Run all tests, or those named, with servers of their own.\n\n" +
			"The servers start on empty data in a scratch directory and stop at the end; a cloud that runs is left alone.",
		Example:            "  go run ./local test\n  go run ./local test ./shared/lake/... -run Publish -v",
		DisableFlagParsing: true, // they are go test's
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s, err := settings()
			if err != nil {
				return err
			}
			if s.Dir, err = os.MkdirTemp("", "millrace-test-"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
			s.MySQLDSN = "" // the tests write, which is nothing for a server of the user's own
			s.EmulatorPort, s.PostgresPort, s.MySQLPort = 0, 0, 0
			defer func() {
				err = errors.Join(err, cloud.Down(context.WithoutCancel(cmd.Context()), s, cmd.OutOrStdout()))
			}()
			c, err := cloud.Up(cmd.Context(), s, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return runTests(cmd, s, c, args)
		},
	}
}

// runTests runs go test. Its time limit is for a package: the end-to-end test builds, deploys and waits for two nights' batches.
func runTests(cmd *cobra.Command, s cloud.Settings, c *cloud.Cloud, args []string) error {
	if len(args) == 0 {
		args = []string{"work"} // every module of go.work
	}
	// -count=1: what a server answers is not part of what go test's cache looks at.
	test := exec.CommandContext(cmd.Context(), "go", append([]string{"test", "-json", "-count=1", "-timeout=20m"}, args...)...)
	test.Dir = s.Root
	test.Env = append(os.Environ(), "LOCAL_DIR="+s.Dir, "LOCAL_VENV_DIR="+s.VenvDir, "MILLRACE_END_TO_END=1")
	for _, variable := range c.Env() {
		test.Env = append(test.Env, variable.Name+"="+variable.Value)
	}
	test.Stderr = cmd.ErrOrStderr()
	// An interrupt lets the tests stop the servers that they started.
	test.Cancel = func() error { return test.Process.Signal(os.Interrupt) }
	test.WaitDelay = 30 * time.Second
	report, err := test.StdoutPipe()
	if err != nil {
		return err
	}
	if err := test.Start(); err != nil {
		return err
	}
	summary, err := gotest.Show(report, cmd.OutOrStdout(), slices.Contains(args, "-v"))
	err = errors.Join(err, test.Wait())
	fmt.Fprintln(cmd.OutOrStdout(), summary)
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}
