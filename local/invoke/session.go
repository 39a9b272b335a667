// Package invoke runs one function of the deployed stack in Docker, as `sam local invoke` does, against the local cloud. It needs a
// Docker engine and no registry.
package invoke

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace/millrace/local/cloud"
	"github.com/millrace/millrace/shared/lake"
)

// Session is what several invocations share: image, template, and the containers' way to the cloud's servers.
type Session struct {
	sam      cloud.SAM
	aws      aws.Config
	endpoint string
	tls      *tls.Config
	outputs  map[string]string
	template string
	bridge   *bridge
}

// Open prepares invocations of the stack that is deployed in the cloud.
func Open(ctx context.Context, c *cloud.Cloud) (*Session, error) {
	if err := CheckEngine(ctx); err != nil {
		return nil, err
	}
	outputs, err := c.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	sam, err := c.SAM(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := Image(ctx, sam.Venv); err != nil {
		return nil, err
	}
	path, err := template(sam.Build)
	if err != nil {
		return nil, err
	}
	trust, err := c.TLSConfig()
	if err != nil {
		return nil, err
	}
	b, err := newBridge(ctx)
	if err != nil {
		return nil, err
	}
	return &Session{sam: sam, aws: c.AWSConfig(), endpoint: c.Addresses.Endpoint, tls: trust, outputs: outputs, template: path, bridge: b}, nil
}

// Close takes the containers' way to the cloud away.
func (s *Session) Close() error { return s.bridge.Close() }

// Functions are the logical ids of the stack's functions.
func (s *Session) Functions() []string {
	var all []string
	for output := range s.outputs {
		if name, ok := strings.CutSuffix(output, "Name"); ok && strings.HasSuffix(name, "Function") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// LogicalID returns the template's name for a function such as extractor.
func LogicalID(function string) string {
	if function == "" || strings.HasSuffix(function, "Function") {
		return function
	}
	return strings.ToUpper(function[:1]) + function[1:] + "Function"
}

// FunctionError is what a function answers when it fails.
type FunctionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *FunctionError) Error() string { return e.Message }

// Invoke sends one event to a function, given by its logical id, and returns its answer, or a *FunctionError if that is an error.
// What the function and the SAM CLI log goes to log.
func (s *Session) Invoke(ctx context.Context, function string, event []byte, log io.Writer) (json.RawMessage, error) {
	variables, err := s.environment(ctx, function)
	if err != nil {
		return nil, err
	}
	if event, err = forLake(ctx, event, s.outputs["LakeBucketName"], lake.NewBucket(s.aws, s.outputs["LakeBucketName"])); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "millrace-invoke-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	environment, err := json.Marshal(map[string]any{function: variables})
	if err != nil {
		return nil, err
	}
	environmentFile, eventFile := filepath.Join(scratch, "environment.json"), filepath.Join(scratch, "event.json")
	if err := errors.Join(os.WriteFile(environmentFile, environment, 0o600), os.WriteFile(eventFile, event, 0o600)); err != nil {
		return nil, err
	}

	cmd := exec.CommandContext(ctx, s.sam.Program, "local", "invoke", function,
		"--config-file", filepath.Join(s.sam.Root, "samconfig.toml"), "--config-env", "local",
		"--template", s.template, "--event", eventFile, "--env-vars", environmentFile, "--skip-pull-image")
	// 20 seconds, as it waits by itself for a container to start, are too few for a machine that is busy.
	cmd.Dir, cmd.Env = s.sam.Root, append(slices.Clone(s.sam.Environment), "SAM_CLI_CONTAINER_CONNECTION_TIMEOUT=120")
	// An interrupt lets the SAM CLI remove its container.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var answer, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, io.MultiWriter(&said, log)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("sam local invoke %s: %w: %s", function, err, reason(said.String()))
	}
	return decode(answer.Bytes())
}

// reason is the line in which the SAM CLI says why it failed, without the Python traceback that may follow.
func reason(said string) string {
	for line := range strings.Lines(said) {
		if message, ok := strings.CutPrefix(line, "Error: "); ok {
			return strings.TrimSpace(message)
		}
	}
	return "it gave no reason; it said: " + strings.TrimSpace(said)
}

// decode tells an error from an answer: the SAM CLI prints either and exits with zero.
func decode(answer []byte) (json.RawMessage, error) {
	answer = bytes.TrimSpace(answer)
	if len(answer) == 0 {
		return nil, errors.New("sam local invoke printed no answer: the function did not start, or ran into its timeout; see its log")
	}
	var failed FunctionError
	if err := json.Unmarshal(answer, &failed); err == nil && failed.Type != "" {
		return nil, &failed
	}
	return json.RawMessage(answer), nil
}
