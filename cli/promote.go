package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newPromote(o *options) *cobra.Command {
	var anyway bool
	var reason string
	cmd := &cobra.Command{
		Use:   "promote VERSION",
		Short: "Make a published model version active, whatever its run",
		Long: `Make a published model version active, whatever its run: an earlier one, or, with --anyway, one that the trainer rejected. Who did it, when
and why is recorded in the database (millrace.activation) and in the lake (models/_ACTIVE.json). The next night's model replaces it
if it passes its gate, which compares with this one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			request := map[string]any{"command": "promote", "version": args[0], "anyway": anyway, "reason": reason}
			var promoted struct {
				Version   string `json:"version"`
				Activated bool   `json:"activated"`
				Reason    string `json:"reason"`
				Replaced  string `json:"replaced,omitempty"`
			}
			if err := s.decide(cmd.Context(), request, &promoted); err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), promoted, func(w io.Writer) {
				if !promoted.Activated {
					fmt.Fprintf(w, "%s: %s\n", promoted.Version, promoted.Reason)
					return
				}
				fmt.Fprintf(w, "%s is active, %s; it replaced %s, to which a rollback returns\n", promoted.Version, promoted.Reason, promoted.Replaced)
			})
		},
	}
	cmd.Flags().BoolVar(&anyway, "anyway", false, "though the trainer rejected it")
	cmd.Flags().StringVar(&reason, "reason", "no reason given", "why: it is recorded")
	return cmd
}
