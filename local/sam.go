package main

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
)

func samCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "sam",
		Short:              "Run the SAM CLI, installed under LOCAL_DIR at the pinned version",
		DisableFlagParsing: true, // they are the SAM CLI's
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			sam, err := cloud.InstallSAM(cmd.Context(), s)
			if err != nil {
				return err
			}
			return syscall.Exec(sam, append([]string{filepath.Base(sam)}, args...), append(os.Environ(), "SAM_CLI_TELEMETRY=0"))
		},
	}
}
