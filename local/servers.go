package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
)

func withServersCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "with-servers <command> [arguments]",
		Short:              "Run a command with servers of its own, whose addresses are in its environment (go run ./local env)",
		Example:            "  go run ./local with-servers go run ./bench/stream",
		DisableFlagParsing: true, // they are the command's
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("with-servers: want a command")
			}
			return onOwnServers(cmd, func(s cloud.Settings, c *cloud.Cloud) error {
				run := command(cmd.Context(), s, c, args[0], args[1:]...)
				run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
				return run.Run()
			})
		},
	}
}

// onOwnServers does something with servers that start on empty data in a scratch directory, and stops them. A cloud that runs is left alone.
func onOwnServers(cmd *cobra.Command, do func(cloud.Settings, *cloud.Cloud) error) (err error) {
	s, err := settings()
	if err != nil {
		return err
	}
	if s.Dir, err = os.MkdirTemp("", "millrace-servers-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	s.MySQLDSN = "" // what is done there writes, which is nothing for a server of the user's own
	s.EmulatorPort, s.PostgresPort, s.MySQLPort = 0, 0, 0
	defer func() {
		err = errors.Join(err, cloud.Down(context.WithoutCancel(cmd.Context()), s, cmd.OutOrStdout()))
	}()
	c, err := cloud.Up(cmd.Context(), s, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	return do(s, c)
}

// command is one that finds the cloud. An interrupt lets it stop what it has started.
func command(ctx context.Context, s cloud.Settings, c *cloud.Cloud, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LOCAL_DIR="+s.Dir, "LOCAL_VENV_DIR="+s.VenvDir)
	for _, variable := range c.Env() {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}
