package main

import (
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
	var dir, datasetName, events, out string
	cmd := &cobra.Command{
		Use:   "recommend (USER | --model DIR --events FILE)",
		Short: "Ask the API what it recommends to a user, or answer a file of events without a cloud",
		Long: `Ask the API what it recommends to a user. Or, with --model and --events, answer shop events, one JSON object a line, by the artifact in a
directory, as the stream's function does: one record a line, in the events' order. Events that can never be answered are named on standard
error with their line and the reason, and the exit status is 2.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if events == "" {
				if len(args) == 0 {
					return errors.New("name a user, or a model and a file of events: millrace recommend --model DIR --events FILE")
				}
				return recommendUser(cmd, o, args[0])
			}
			if len(args) > 0 {
				return fmt.Errorf("%q beside --events: the events say who the users are", args[0])
			}
			to := cmd.OutOrStdout()
			if out != "" {
				file, err := os.Create(out)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, file.Close()) }()
				to = file
			}
			return recommendEvents(cmd.Context(), dir, datasetName, events, to, cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "model", "", "directory of the artifact")
	flags.StringVar(&events, "events", "", "file with one event a line")
	flags.StringVar(&out, "out", "", "file for the records; default: standard output")
	flags.StringVar(&datasetName, "dataset", "", "whose event fields and rules; default: the model's, or "+defaultDataset+" for a model trained from a file")
	cmd.MarkFlagsRequiredTogether("model", "events")
	return cmd
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
