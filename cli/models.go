package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"
)

// modelVersion is a row of the API's GET /models.
type modelVersion struct {
	Version string `json:"version"`
	State   string `json:"state"` // loading, ready, active, retired or rejected
	Reason  string `json:"reason"`
}

// models lists the versions in the database, newest first.
func (s *stack) models(ctx context.Context) ([]modelVersion, error) {
	var answer struct {
		Models []modelVersion `json:"models"`
	}
	return answer.Models, s.get(ctx, "/models", &answer)
}

// model is a version in the database, nil if it is not there yet.
func (s *stack) model(ctx context.Context, version string) (*modelVersion, error) {
	models, err := s.models(ctx)
	for _, m := range models {
		if m.Version == version {
			return &m, err
		}
	}
	return nil, err
}

func newRollback(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Make the previous model version active again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			var swap struct {
				Active   string `json:"active"`
				Previous string `json:"previous"`
			}
			if err := s.command(cmd.Context(), map[string]string{"command": "rollback"}, &swap); err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), swap, func(w io.Writer) {
				fmt.Fprintf(w, "%s is active; %s is kept and can be rolled back to\n", swap.Active, swap.Previous)
			})
		},
	}
}

// command asks the loader, which alone may write to the model tables, and waits for its answer.
func (s *stack) command(ctx context.Context, request, answer any) error {
	function, err := s.output("LoaderFunctionName")
	if err != nil {
		return err
	}
	payload, err := json.Marshal(request)
	if err != nil {
		return err
	}
	out, err := lambda.NewFromConfig(s.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return fmt.Errorf("loader: %w", err)
	}
	if out.FunctionError != nil {
		return fmt.Errorf("loader: %s", functionError(out.Payload))
	}
	return json.Unmarshal(out.Payload, answer)
}

// functionError is what a function said when it failed.
func functionError(payload []byte) string {
	var failure struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &failure) != nil || failure.Message == "" {
		return string(payload)
	}
	return failure.Message
}
