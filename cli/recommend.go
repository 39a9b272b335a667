package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

// defaultDataset is that of the stack's parameter Dataset.
const defaultDataset = "classicmodels"

func newRecommend(o *options) *cobra.Command {
	var from eventSource
	var events, out string
	cmd := &cobra.Command{
		Use:   "recommend (USER | (--model DIR | --postgres URL) --events FILE)",
		Short: "Ask the API what it recommends to a user, or answer a file of events without a cloud",
		Long: `Ask the API what it recommends to a user. Or, with --model and --events, answer shop events, one JSON object a line, by the artifact in a
directory, as the stream's function does: one record a line, in the events' order. With --postgres instead of --model, by the models that serve
in a database (millrace load fills one); what users did is not recorded there. Events that can never be answered are named on standard
error with their line and the reason, and the exit status is 2.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if events == "" {
				if from.dir != "" || from.postgres != "" {
					return errors.New("name a file of events: --events FILE")
				}
				if len(args) == 0 {
					return errors.New("name a user, or a file of events and what answers them: millrace recommend --events FILE with --model DIR or --postgres URL")
				}
				return recommendUser(cmd, o, args[0])
			}
			if len(args) > 0 {
				return fmt.Errorf("%q beside --events: the events say who the users are", args[0])
			}
			if from.dir == "" {
				if from.postgres = cmp.Or(from.postgres, os.Getenv("POSTGRES_URL")); from.postgres == "" {
					return errors.New("name what answers the events: --model DIR or --postgres URL")
				}
			}
			to := func() (io.WriteCloser, error) { return nopCloser{cmd.OutOrStdout()}, nil }
			if out != "" {
				if sameFile(events, out) {
					return fmt.Errorf("--out %s is the file of events: name another", out)
				}
				to = func() (io.WriteCloser, error) { return os.Create(out) }
			}
			return recommendEvents(cmd.Context(), from, events, to, cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from.dir, "model", "", "directory of the artifact")
	flags.StringVar(&from.postgres, "postgres", "", "the database's URL, postgres://user:password@host:5432/database; default: POSTGRES_URL, if there is no --model")
	flags.StringVar(&events, "events", "", "file with one event a line")
	flags.StringVar(&out, "out", "", "file for the records, which is overwritten; default: standard output")
	flags.StringVar(&from.datasetName, "dataset", "", "whose event fields and rules; default: the model's, or "+defaultDataset+" for a model trained from a file")
	cmd.MarkFlagsMutuallyExclusive("model", "postgres")
	return cmd
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}

func recommendUser(cmd *cobra.Command, o *options, user string) error {
	s, err := o.openStack(cmd.Context())
	if err != nil {
		return err
	}
	var r recommendation
	if err := s.get(cmd.Context(), "/users/"+url.PathEscape(user)+"/recommendations", &r); err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), r, func(w io.Writer) {
		fmt.Fprintf(w, "For %s (%s, model %s)\n", user, r.Strategy, r.ModelVersion)
		for _, item := range r.Items {
			why := item.Why
			if item.BecauseName != "" {
				why = "because of " + item.BecauseName
			}
			fmt.Fprintf(w, "  %6.3f  %-10s  %-42s %s\n", item.Score, item.ID, item.Name, why)
		}
	})
}

// recommendation is the API's answer for a user.
type recommendation struct {
	User         string `json:"user"`
	ModelVersion string `json:"model_version"`
	Strategy     string `json:"strategy"`
	Items        []struct {
		ID          string  `json:"id"`
		Name        string  `json:"name"`
		Score       float64 `json:"score"`
		Why         string  `json:"why"`
		Because     string  `json:"because,omitempty"`
		BecauseName string  `json:"because_name,omitempty"`
	} `json:"recommended_items"`
}
