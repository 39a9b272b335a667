package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/millrace/millrace/shared/dataset"
)

// Deploy builds the functions and deploys template.yaml with the settings of samconfig.toml's stage local, unless exactly that
// is deployed already.
func (c *Cloud) Deploy(ctx context.Context) error {
	if err := checkDatasets(); err != nil {
		return err
	}
	overrides, err := c.parameterOverrides()
	if err != nil {
		return err
	}
	hash, err := sourceHash(c.settings.Root, append([]string{runtime.Version(), c.settings.Stack}, overrides...))
	if err != nil {
		return err
	}
	emulator, ok, err := c.settings.running(emulatorName)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("deploy: the emulator does not run (make up)")
	}
	want := deployment{Hash: hash, Emulator: emulator.Started}
	st, err := c.settings.readState()
	if err != nil {
		return err
	}
	if st.Deployed == want {
		return c.step("stack", func() (string, error) { return c.settings.Stack + " is up to date", nil })
	}

	venv, err := c.prepareVenv(ctx, "sam")
	if err != nil {
		return err
	}
	sam, environment := filepath.Join(venv, "bin", "sam"), c.samEnvironment(venv)
	build := filepath.Join(c.settings.Dir, "build")
	run := func(words ...string) error {
		return command{words: append([]string{sam, words[0], "--config-file", filepath.Join(c.settings.Root, "samconfig.toml"), "--config-env", "local"}, words[1:]...), dir: c.settings.Root, environment: environment, log: c.settings.logPath("sam-" + words[0])}.run(ctx)
	}
	if err := c.step("sam build", func() (string, error) {
		return "", run(append([]string{"build", "--build-dir", build, "--parameter-overrides"}, overrides...)...)
	}); err != nil {
		return err
	}
	if err := c.step("sam deploy", func() (string, error) {
		if err := c.removeFailedStack(ctx); err != nil {
			return "", err
		}
		return "stack " + c.settings.Stack, run(append([]string{
			"deploy", "--template-file", filepath.Join(build, "template.yaml"), "--stack-name", c.settings.Stack,
			"--parameter-overrides",
		}, overrides...)...)
	}); err != nil {
		return err
	}
	st.Deployed = want
	return c.settings.writeState(st)
}

// checkDatasets tells of a mistake in a dataset file before minutes are spent on building what would refuse to start.
func checkDatasets() error {
	for _, name := range dataset.Names() {
		if _, err := dataset.Load(name); err != nil {
			return err
		}
	}
	return nil
}

// parameterOverrides are the template's parameters that only this machine knows.
func (c *Cloud) parameterOverrides() ([]string, error) {
	architecture, ok := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("deploy: AWS Lambda does not run on %s: use an x86-64 or arm64 machine", runtime.GOARCH)
	}
	shop, err := dataset.Load(c.settings.Dataset)
	if err != nil {
		return nil, err
	}
	return []string{
		"Dataset=" + shop.Name,
		"Tables=" + strings.Join(shop.TableNames(), ","),
		"MySqlSecretArn=" + c.mysqlSecretARN,
		"PostgresSecretArn=" + c.postgresSecretARN,
		"PostgresServingSecretArn=" + c.servingSecretARN,
		"Architecture=" + architecture,
		// The emulator's scheduler does not fill in the scheduled time, which names the run: runs are started by hand here.
		"BatchState=DISABLED",
	}, nil
}

// samEnvironment is the user's own, which `go build` needs, without the user's AWS settings.
func (c *Cloud) samEnvironment(venv string) []string {
	var e []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "SAM_") && !strings.HasPrefix(variable, "PATH=") &&
			!strings.HasPrefix(strings.ToUpper(variable), "NO_PROXY=") {
			e = append(e, variable)
		}
	}
	for _, variable := range c.Env() {
		e = append(e, variable.Name+"="+variable.Value)
	}
	return append(e,
		"PATH="+filepath.Join(venv, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
		"NO_PROXY="+loopback+",localhost", "no_proxy="+loopback+",localhost",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"SAM_CLI_TELEMETRY=0", "PYTHONWARNINGS=ignore",
	)
}

// removeFailedStack deletes a stack whose creation failed: CloudFormation does not update such a one.
func (c *Cloud) removeFailedStack(ctx context.Context) error {
	client := cloudformation.NewFromConfig(c.AWSConfig())
	stack, err := describeStack(ctx, client, c.settings.Stack)
	if err != nil || stack == nil {
		return err
	}
	switch stack.StackStatus {
	case types.StackStatusCreateFailed, types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusDeleteFailed, types.StackStatusReviewInProgress:
	default:
		return nil
	}
	if _, err := client.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &c.settings.Stack}); err != nil {
		return fmt.Errorf("stack %s is %s and cannot be deleted: %w", c.settings.Stack, stack.StackStatus, err)
	}
	for range 60 {
		stack, err := describeStack(ctx, client, c.settings.Stack)
		if err != nil || stack == nil || stack.StackStatus == types.StackStatusDeleteComplete {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("stack %s does not go away: make down, then make up", c.settings.Stack)
}

// Outputs are the stack's outputs by name.
func (c *Cloud) Outputs(ctx context.Context) (map[string]string, error) {
	stack, err := describeStack(ctx, cloudformation.NewFromConfig(c.AWSConfig()), c.settings.Stack)
	if err != nil {
		return nil, err
	}
	if stack == nil {
		return nil, fmt.Errorf("there is no stack %s at %s: deploy it (make up)", c.settings.Stack, c.Addresses.Endpoint)
	}
	outputs := map[string]string{}
	for _, o := range stack.Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return outputs, nil
}

// describeStack returns nil if there is no such stack.
func describeStack(ctx context.Context, client *cloudformation.Client, name string) (*types.Stack, error) {
	found, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", name, err)
	}
	if len(found.Stacks) == 0 {
		return nil, nil
	}
	return &found.Stacks[0], nil
}

// sourceHash covers everything that a deployment is made of: the template, its settings, the build rules, the functions and
// what they share, and what else is given.
func sourceHash(root string, also []string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", also)
	for _, top := range []string{"template.yaml", "samconfig.toml", "Makefile", "arch", "go.work", "functions", "shared"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if entry.IsDir() && entry.Name() == "testdata" {
				return fs.SkipDir
			}
			if !entry.Type().IsRegular() || strings.HasSuffix(entry.Name(), "_test.go") {
				return nil
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(content))
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("hash of the sources: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
