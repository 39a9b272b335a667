package endtoend_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
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

// as takes the role of a function, named by the stack's output.
func (s *system) as(t *testing.T, output string) aws.Config {
	t.Helper()
	function := s.outputs[output]
	configuration, err := lambda.NewFromConfig(s.aws).GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	require.NoError(t, err)
	assumed, err := sts.NewFromConfig(s.aws).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: configuration.Role, RoleSessionName: aws.String("end-to-end")})
	require.NoError(t, err)
	as := s.aws.Copy()
	as.Credentials = credentials.NewStaticCredentialsProvider(*assumed.Credentials.AccessKeyId, *assumed.Credentials.SecretAccessKey, *assumed.Credentials.SessionToken)
	return as
}

// iamIsEnforced takes the partitioner's role and does what it may and what it may not: without the refusals, everything
// else here would prove nothing about the roles.
func (s *system) iamIsEnforced(t *testing.T) {
	as := s.as(t, "PartitionerFunctionName")
	bucket := lake.NewBucket(as, s.outputs["LakeBucketName"])

	body, _, err := bucket.Get(t.Context(), lake.RawMarker("ratings", s.firstRun))
	require.NoError(t, err, "the partitioner reads raw/")
	require.NoError(t, body.Close())
	require.ErrorContains(t, bucket.Put(t.Context(), "raw/ratings/forged", strings.NewReader("x")), "AccessDenied", "it does not write there")
	require.ErrorContains(t, bucket.Put(t.Context(), lake.ModelMarker("forged"), strings.NewReader("x")), "AccessDenied", "nor a model")
	_, _, err = bucket.Get(t.Context(), lake.TrainingMarker("classicmodels", s.firstRun))
	require.ErrorContains(t, err, "AccessDenied", "nor does it read training sets")
	secrets := secretsmanager.NewFromConfig(as)
	_, err = secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("millrace/mysql")})
	require.ErrorContains(t, err, "AccessDenied", "nor the database's password")
}

// failureIsKept sends an event that can never succeed, asynchronously as the schedule does, and finds it with its reason
// in the queue that an operator watches.
func (s *system) failureIsKept(t *testing.T) {
	function, queue := s.outputs["ExtractorFunctionName"], s.outputs["FailedInvocationsQueueUrl"]
	_, err := lambda.NewFromConfig(s.aws).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: &function, InvocationType: lambdatypes.InvocationTypeEvent,
		Payload: []byte(`{"table":"payments","scheduled_time":"` + s.firstRun.Time().Format(time.RFC3339) + `"}`),
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
