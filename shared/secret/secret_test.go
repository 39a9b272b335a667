package secret_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/secret"
)

type stored string

func (s stored) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	text := string(s)
	return &secretsmanager.GetSecretValueOutput{SecretString: &text}, nil
}

func TestPortMayBeNumberOrString(t *testing.T) {
	t.Parallel()
	for _, port := range []string{`5432`, `"5432"`} {
		d, err := secret.Read(context.Background(), stored(`{"host":"db","port":`+port+`,"username":"u","password":"p@/:ä","dbname":"shop","engine":"postgres"}`), "arn")
		require.NoError(t, err)
		require.Equal(t, "postgres://u:p%40%2F%3A%C3%A4@db:5432/shop?sslmode=prefer", d.PostgresURL())
	}
}

func TestProblemsAreNamedTogetherAndNothingSecretIsShown(t *testing.T) {
	t.Parallel()
	_, err := secret.Read(context.Background(), stored(`{"host":"db","password":"hunter2"}`), "arn:x")
	for _, part := range []string{"arn:x", "username is missing", "dbname is missing", "port is not"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "hunter2")
	_, err = secret.Read(context.Background(), stored(`{"password":hunter2}`), "arn:x")
	require.ErrorContains(t, err, "not valid JSON")
	require.NotContains(t, err.Error(), "hunter2")
}
