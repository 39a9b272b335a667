package main

import (
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/local/demo"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Start everything, run the batch and the stream, and show what comes of it; it stays up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			c, err := cloud.Up(cmd.Context(), s, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if err := c.Deploy(cmd.Context()); err != nil {
				return err
			}
			d := demo.Demo{Cloud: c, Root: s.Root, Dir: s.Dir, Out: cmd.OutOrStdout()}
			return d.Run(cmd.Context())
		},
	}
}
