package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// databaseSecret is how RDS writes the credentials of a database.
type databaseSecret struct {
	Engine   string `json:"engine"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username"`
	Password string `json:"password"`
	Database string `json:"dbname"`
	TLS      string `json:"tls,omitempty"`     // MySQL
	SSLMode  string `json:"sslmode,omitempty"` // PostgreSQL
}

const (
	mysqlSecretName    = "millrace/mysql"
	postgresSecretName = "millrace/postgres"
	servingSecretName  = "millrace/postgres-serving"
)

func postgresSecret(postgresURL string) (databaseSecret, error) {
	u, err := url.Parse(postgresURL)
	if err != nil {
		return databaseSecret{}, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return databaseSecret{}, fmt.Errorf("PostgreSQL address %s: %w", u.Host, err)
	}
	password, _ := u.User.Password()
	return databaseSecret{
		Engine: "postgres", Host: u.Hostname(), Port: port, Username: u.User.Username(), Password: password,
		Database: u.Path[1:], SSLMode: u.Query().Get("sslmode"),
	}, nil
}

// AWSConfig is the client configuration for the emulated cloud, as its root user.
func (c *Cloud) AWSConfig() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(c.Addresses.Endpoint),
		HTTPClient:   c.client,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}
}

// putSecret makes the secret hold the value, and returns its ARN.
func putSecret(ctx context.Context, client *secretsmanager.Client, name string, value databaseSecret) (arn string, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	current, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	var notFound *types.ResourceNotFoundException
	switch {
	case errors.As(err, &notFound):
		created, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(string(text))})
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", name, err)
		}
		return aws.ToString(created.ARN), nil
	case err != nil:
		return "", fmt.Errorf("secret %s: %w", name, err)
	case aws.ToString(current.SecretString) != string(text):
		if _, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: aws.String(string(text))}); err != nil {
			return "", fmt.Errorf("secret %s: %w", name, err)
		}
	}
	return aws.ToString(current.ARN), nil
}
