// Command local runs the whole system on one machine; see the Makefile for its usual calls.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/local/cloud"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "local",
		Short:         "The whole system on one machine: emulated AWS, PostgreSQL with pgvector, MySQL, and the real template in them",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(upCommand(), downCommand(), statusCommand(), envCommand(), mysqlServeCommand())
	root.AddCommand(demoCommand(), samCommand(), testCommand(), withServersCommand(), invokeCommand(), invokeImageCommand())
	return root
}

func settings() (cloud.Settings, error) {
	environ := map[string]string{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		environ[name] = value
	}
	here, err := os.Getwd()
	if err != nil {
		return cloud.Settings{}, err
	}
	return cloud.SettingsFrom(environ, here)
}

func upCommand() *cobra.Command {
	var auth, serversOnly bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Start what does not run yet, and deploy what is not deployed yet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			s.Auth = s.Auth || auth
			c, err := cloud.Up(cmd.Context(), s, cmd.OutOrStdout())
			if err != nil || serversOnly {
				return err
			}
			return c.Deploy(cmd.Context())
		},
	}
	c.Flags().BoolVar(&auth, "auth", false, "make the emulator enforce the functions' IAM policies")
	c.Flags().BoolVar(&serversOnly, "servers-only", false, "start the servers, deploy nothing")
	return c
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop exactly what up started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			return cloud.Down(cmd.Context(), s, cmd.OutOrStdout())
		},
	}
}

func statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the servers that up started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			servers, err := cloud.Status(s)
			if err != nil {
				return err
			}
			return printStatus(cmd, servers, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStatus(cmd *cobra.Command, servers []cloud.Record, asJSON bool) error {
	type row struct {
		Server        string `json:"server"`
		Address       string `json:"address"`
		PID           int    `json:"pid"`
		Running       bool   `json:"running"`
		UptimeSeconds int    `json:"uptime_seconds"`
		Log           string `json:"log"`
	}
	rows := []row{}
	for _, r := range servers {
		rows = append(rows, row{r.Name, r.Address, r.PID, r.Running(), int(time.Since(r.Since).Seconds()), r.Log})
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing runs (make up)")
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "server\taddress\tpid\tup\tlog")
	for _, r := range rows {
		up := (time.Duration(r.UptimeSeconds) * time.Second).String()
		if !r.Running {
			up = "ended"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", r.Server, r.Address, r.PID, up, r.Log)
	}
	return table.Flush()
}

func envCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: `Print the running cloud's addresses as shell exports: eval "$(go run ./local env)"`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings()
			if err != nil {
				return err
			}
			c, err := cloud.Connect(s)
			if err != nil {
				return err
			}
			for _, v := range c.Env() {
				fmt.Fprintln(cmd.OutOrStdout(), v.Export())
			}
			return nil
		},
	}
}

func mysqlServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    cloud.ServeMySQLVerb + " <address>",
		Short:  "The embedded MySQL server's process",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return cloud.ServeMySQL(cmd.Context(), args[0])
		},
	}
}
