package invoke_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/invoke"
)

func TestTheInvokedTemplateIsTheBuiltOneThatKnowsTheEndpoint(t *testing.T) {
	t.Parallel()
	build := t.TempDir()
	_, err := invoke.Template(build)
	require.ErrorContains(t, err, "make up")

	require.NoError(t, os.WriteFile(filepath.Join(build, "template.yaml"), []byte(`
AWSTemplateFormatVersion: '2010-09-09'
Globals:
  Function:
    Environment:
      Variables: {LOG_LEVEL: {Ref: LogLevel}}
Resources:
  ApiFunction:
    Properties: {CodeUri: ApiFunction, Timeout: 30}
`), 0o644))
	path, err := invoke.Template(build)
	require.NoError(t, err)
	require.Equal(t, build, filepath.Dir(path), "CodeUri is relative to the template's directory")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(text, &got))
	variables := got["Globals"].(map[string]any)["Function"].(map[string]any)["Environment"].(map[string]any)["Variables"].(map[string]any)
	require.Contains(t, variables, "AWS_ENDPOINT_URL")
	require.Equal(t, map[string]any{"Ref": "LogLevel"}, variables["LOG_LEVEL"])
	require.Equal(t, "2010-09-09", got["AWSTemplateFormatVersion"])
	require.Equal(t, map[string]any{"ApiFunction": map[string]any{"Properties": map[string]any{"CodeUri": "ApiFunction", "Timeout": 30.0}}}, got["Resources"])
}
