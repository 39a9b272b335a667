package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

// stack is a deployed millrace, known by its outputs. The CLI needs no way into the VPC: what
// concerns the databases goes through the functions.
type stack struct {
	name    string
	cfg     aws.Config
	outputs map[string]string
	dataset *dataset.Dataset
	lake    lake.Store
}

func (o *options) openStack(ctx context.Context) (*stack, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &o.stack})
	if err != nil {
		return nil, fmt.Errorf("stack %q cannot be read: %w\nIs it deployed in this region (AWS_REGION is %q), and are these the right credentials? "+
			"--stack or MILLRACE_STACK names another stack; for the local one: eval \"$(make -s env)\"", o.stack, err, cfg.Region)
	}
	s := &stack{name: o.stack, cfg: cfg, outputs: map[string]string{}}
	for _, output := range out.Stacks[0].Outputs {
		s.outputs[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
	}
	name := "classicmodels"
	for _, p := range out.Stacks[0].Parameters {
		if aws.ToString(p.ParameterKey) == "Dataset" {
			name = aws.ToString(p.ParameterValue)
		}
	}
	if s.dataset, err = dataset.Load(name); err != nil {
		return nil, err
	}
	bucket, err := s.output("LakeBucketName")
	if err != nil {
		return nil, err
	}
	s.lake = lake.NewBucket(cfg, bucket)
	return s, nil
}

func (s *stack) output(key string) (string, error) {
	if s.outputs[key] == "" {
		return "", fmt.Errorf("stack %q has no output %s: is it a millrace stack, and fully deployed?", s.name, key)
	}
	return s.outputs[key], nil
}

// get reads a resource of the API into v.
func (s *stack) get(ctx context.Context, path string, v any) error {
	return s.call(ctx, http.MethodGet, path, nil, v)
}

// call signs a request (the API takes no other), and turns problem+json into an error.
func (s *stack) call(ctx context.Context, method, path string, body []byte, v any) error {
	base, err := s.output("ApiUrl")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // twice the API function's own limit
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if s.cfg.BaseEndpoint != nil { // an emulator: one address for everything, told apart by the Host header
		endpoint, err := url.Parse(*s.cfg.BaseEndpoint)
		if err != nil {
			return fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
		}
		request.Host, request.URL.Scheme, request.URL.Host = request.URL.Host, endpoint.Scheme, endpoint.Host
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	credentials, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("AWS credentials: %w", err)
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "lambda", s.cfg.Region, time.Now()); err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	response, err := s.cfg.HTTPClient.Do(request)
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	if response.StatusCode >= 300 {
		var problem struct{ Title, Detail string }
		if json.Unmarshal(answer, &problem) != nil || problem.Title == "" {
			problem.Title, problem.Detail = response.Status, string(answer)
		}
		return errors.New("API: " + strings.TrimSuffix(problem.Title+": "+problem.Detail, ": "))
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("API: answer to %s: %w", path, err)
	}
	return nil
}
