package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// invokeSelf starts this function again, asynchronously: Lambda keeps the event and retries it.
func invokeSelf(client *lambda.Client) func(context.Context, request) error {
	return func(ctx context.Context, event request) error {
		payload, err := json.Marshal(event)
		if err != nil {
			return err
		}
		function := lambdacontext.FunctionName
		_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: payload})
		if err != nil {
			return fmt.Errorf("continue in another invocation of %s: %w", function, err)
		}
		return nil
	}
}
