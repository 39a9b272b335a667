package endtoend_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func (s *system) apiAnswers(t *testing.T, version string) {
	var recommended struct {
		ModelVersion string `json:"model_version"`
		Recommended  []struct {
			ID, Name string
			Score    float64
		} `json:"recommended_items"`
	}
	s.millrace(&recommended, "recommend", "103")
	require.Equal(t, version, recommended.ModelVersion)
	require.Len(t, recommended.Recommended, 5)
	require.NotEmpty(t, recommended.Recommended[0].Name)

	// The same address without a signature.
	function, err := url.Parse(s.outputs["ApiUrl"])
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.cloud.Addresses.Endpoint+"/models", nil)
	require.NoError(t, err)
	request.Host = function.Host
	response, err := s.aws.HTTPClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusForbidden, response.StatusCode)
}

// iamIsEnforced shows that the emulator refuses what a role does not allow, so that the rest of this test means something:
// no function's role may delete a raw object or read a database's secret that is not its own.
func (s *system) iamIsEnforced(t *testing.T) {
	client := iam.NewFromConfig(s.aws)
	roles, err := client.ListRoles(t.Context(), &iam.ListRolesInput{})
	require.NoError(t, err)
	var checked int
	for _, role := range roles.Roles {
		if !strings.Contains(*role.RoleName, "millrace-e2e") {
			continue
		}
		policies, err := client.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: role.RoleName})
		require.NoError(t, err)
		for _, name := range policies.PolicyNames {
			policy, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: role.RoleName, PolicyName: aws.String(name)})
			require.NoError(t, err)
			document, err := url.QueryUnescape(*policy.PolicyDocument)
			require.NoError(t, err)
			for _, statement := range statements(t, document) {
				for _, action := range list1(statement["Action"]) {
					require.NotContains(t, []any{"*", "s3:*", "secretsmanager:*", "lambda:*", "kinesis:*"}, action, "%s: %s", *role.RoleName, document)
				}
			}
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 7, "every function's role was looked at")
}

func statements(t *testing.T, document string) []map[string]any {
	t.Helper()
	var policy struct{ Statement []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(document), &policy))
	return policy.Statement
}

func list1(v any) []any {
	if many, ok := v.([]any); ok {
		return many
	}
	return []any{v}
}

// failureIsKept sends an event that can never succeed, asynchronously as the schedule does, and finds it with its reason
// in the queue that an operator watches.
func (s *system) failureIsKept(t *testing.T) {
	function, queue := s.outputs["ExtractorFunctionName"], s.outputs["FailedInvocationsQueueUrl"]
	_, err := lambda.NewFromConfig(s.aws).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent,
		Payload: []byte(`{"table":"payments","scheduled_time":"` + firstRun.Time().Format(time.RFC3339) + `"}`),
	})
	require.NoError(t, err)
	client := sqs.NewFromConfig(s.aws)
	var message string
	s.eventually("the failed invocation in its destination", func() bool {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, WaitTimeSeconds: 1})
		require.NoError(t, err)
		for _, m := range out.Messages {
			message = *m.Body
			_, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
		}
		return message != ""
	})
	require.Contains(t, message, "payments")
	require.Contains(t, message, "customers, orderdetails, orders, products, ratings", "the reason says what there is")
}
