package invoke

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/goccy/go-yaml"
)

const (
	endpointVariable = "AWS_ENDPOINT_URL"
	secretSuffix     = "_SECRET_ARN" // of variables that name a database's secret
)

// environment is that of the deployed function, with the addresses changed to those that its container reaches.
func (s *Session) environment(ctx context.Context, function string) (map[string]string, error) {
	name, ok := s.outputs[function+"Name"]
	if !ok {
		return nil, fmt.Errorf("the stack has no function %s: its functions are %s", function, strings.Join(s.Functions(), ", "))
	}
	deployed, err := lambda.NewFromConfig(s.aws).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", name, err)
	}
	variables := map[string]string{}
	if deployed.Environment != nil {
		variables = maps.Clone(deployed.Environment.Variables)
	}
	for variable, value := range variables {
		if strings.HasSuffix(variable, secretSuffix) {
			if variables[variable], err = s.reachableSecret(ctx, value); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", variable, name, err)
			}
		}
	}
	endpoint, err := url.Parse(s.endpoint)
	if err != nil {
		return nil, err
	}
	// Plain as far as the bridge, which adds TLS: the emulator's certificate is for the loopback address, and in no container.
	endpoint.Scheme = "http"
	server := endpoint.Host
	if endpoint.Host, err = s.bridge.address(server, func() (net.Conn, error) { return tls.Dial("tcp", server, s.tls) }); err != nil {
		return nil, err
	}
	variables[endpointVariable] = endpoint.String()
	return variables, nil
}

// reachableSecret returns a secret like the one given for a database that containers reach: the same, or a copy with another
// address, kept beside it, if the database listens on the host's loopback interface.
func (s *Session) reachableSecret(ctx context.Context, arn string) (string, error) {
	client := secretsmanager.NewFromConfig(s.aws)
	original, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", err
	}
	var database map[string]any
	if err := json.Unmarshal([]byte(aws.ToString(original.SecretString)), &database); err != nil {
		return "", err
	}
	host := fmt.Sprint(database["host"])
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return arn, nil
	}
	server := net.JoinHostPort(host, fmt.Sprint(database["port"]))
	reached, err := s.bridge.address(server, func() (net.Conn, error) { return net.Dial("tcp", server) })
	if err != nil {
		return "", err
	}
	var port string
	if database["host"], port, err = net.SplitHostPort(reached); err != nil {
		return "", err
	}
	database["port"] = json.Number(port)
	text, err := json.Marshal(database)
	if err != nil {
		return "", err
	}
	name := aws.ToString(original.Name) + "/from-container"
	value := string(text)
	if updated, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value}); err == nil {
		return aws.ToString(updated.ARN), nil
	}
	created, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	return aws.ToString(created.ARN), nil
}

// template writes the built template beside itself once more, with the endpoint among the functions' variables: `sam local invoke`
// sets only variables that the template knows, and this one is none of the real template's business. It is written as JSON, which
// every reader of YAML takes for the same.
func template(build string) (string, error) {
	source := filepath.Join(build, "template.yaml")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", fmt.Errorf("the functions are not built: deploy them (make up): %w", err)
	}
	var whole map[string]any
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	variables := child(child(child(child(whole, "Globals"), "Function"), "Environment"), "Variables")
	variables[endpointVariable] = "the emulator's"
	if text, err = json.Marshal(whole); err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	path := filepath.Join(build, "invoke.json")
	return path, os.WriteFile(path, text, 0o644)
}

// child returns a map in a map, added if it is not there.
func child(parent map[string]any, name string) map[string]any {
	if found, ok := parent[name].(map[string]any); ok {
		return found
	}
	added := map[string]any{}
	parent[name] = added
	return added
}
