package main

import (
	"errors"
	"fmt"
	"slices"

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
		RunE: func(cmd *cobra.Command, args []string) error {
			return onOwnServers(cmd, func(s cloud.Settings, c *cloud.Cloud) error { return runTests(cmd, s, c, args) })
		},
	}
}

// runTests runs go test. Its time limit is for a package: the end-to-end test builds, deploys and waits for two nights' batches.
func runTests(cmd *cobra.Command, s cloud.Settings, c *cloud.Cloud, args []string) error {
	if len(args) == 0 {
		args = []string{"work"} // every module of go.work
	}
	// -count=1: what a server answers is not part of what go test's cache looks at.
	test := command(cmd.Context(), s, c, "go", append([]string{"test", "-json", "-count=1", "-timeout=20m"}, args...)...)
	test.Dir = s.Root
	test.Env = append(test.Env, "MILLRACE_END_TO_END=1")
	test.Stderr = cmd.ErrOrStderr()
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
