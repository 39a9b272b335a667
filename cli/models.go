package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/vectorstore"
)

// modelVersion is a row of the API's GET /models.
type modelVersion struct {
	Version string `json:"version"`
	State   string `json:"state"` // loading, ready, active, retired or rejected
	Reason  string `json:"reason"`
}

// versions is the API's GET /models.
type versions struct {
	Models     []modelVersion          `json:"models"`               // newest first
	Experiment *vectorstore.Experiment `json:"experiment,omitempty"` // the running one
}

func (s *stack) versions(ctx context.Context) (v versions, err error) {
	err = s.get(ctx, "/models", &v)
	return v, err
}

// model is a version in the database, nil if it is not there yet.
func (s *stack) model(ctx context.Context, version string) (*modelVersion, error) {
	all, err := s.versions(ctx)
	for _, m := range all.Models {
		if m.Version == version {
			return &m, err
		}
	}
	return nil, err
}

func newRollback(o *options) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
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
			if err := s.decide(cmd.Context(), map[string]any{"command": "rollback", "reason": reason}, &swap); err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), swap, func(w io.Writer) {
				fmt.Fprintf(w, "%s is active; %s is kept and can be rolled back to\n", swap.Active, swap.Previous)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "no reason given", "why: it is recorded")
	return cmd
}

// decide is command for what is recorded with who decided it.
func (s *stack) decide(ctx context.Context, request map[string]any, answer any) error {
	caller, err := sts.NewFromConfig(s.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("who is asking (sts:GetCallerIdentity): %w", err)
	}
	request["by"] = aws.ToString(caller.Arn)
	return s.command(ctx, request, answer)
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
