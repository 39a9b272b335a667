package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/local/invoke"
)

func invokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "invoke <function> [event.json]",
		Short: "Run one function of the deployed stack in Docker, with its first events/<function>-*.json or the one given",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			file, err := eventFile(s.Root, args)
			if err != nil {
				return err
			}
			event, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			c, err := cloud.Connect(s)
			if err != nil {
				return err
			}
			session, err := invoke.Open(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer session.Close()
			fmt.Fprintln(cmd.ErrOrStderr(), "event:", file)
			answer, err := session.Invoke(cmd.Context(), invoke.LogicalID(args[0]), event, cmd.ErrOrStderr())
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), string(answer))
			return err
		},
	}
}

func eventFile(root string, args []string) (string, error) {
	if len(args) == 2 {
		return args[1], nil
	}
	pattern := filepath.Join(root, "events", args[0]+"-*.json")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("there is no %s: name a function of the stack, or an event file", pattern)
	}
	return found[0], nil
}

func invokeImageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "invoke-image",
		Short: "Give the Docker engine the image that sam local invoke --skip-pull-image needs, without a registry",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			if err := invoke.CheckEngine(cmd.Context()); err != nil {
				return err
			}
			sam, err := cloud.InstallSAM(cmd.Context(), s)
			if err != nil {
				return err
			}
			image, err := invoke.Image(cmd.Context(), filepath.Dir(filepath.Dir(sam)))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), image)
			return err
		},
	}
}
