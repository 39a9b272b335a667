// Package secret reads database credentials from Secrets Manager, in the form RDS writes them.
package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Database is where a database is and who we are there.
type Database struct {
	Host     string      `json:"host"`
	Port     json.Number `json:"port"` // RDS writes a number, people often a string
	Username string      `json:"username"`
	Password string      `json:"password"`
	Name     string      `json:"dbname"`
	SSLMode  string      `json:"sslmode"` // PostgreSQL: libpq's word; default prefer
	TLS      string      `json:"tls"`     // MySQL: true, false, skip-verify, preferred; default preferred
}

// client is what is used of Secrets Manager.
type client interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Read fetches and checks a secret. Its errors name the secret, never its content.
func Read(ctx context.Context, c client, arn string) (Database, error) {
	out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return Database{}, fmt.Errorf("secret %s: %w (does it exist, and may this function's role read it?)", arn, err)
	}
	d, err := parse(aws.ToString(out.SecretString))
	if err != nil {
		return Database{}, fmt.Errorf("secret %s: %w; want JSON with host, port, username, password, dbname", arn, err)
	}
	return d, nil
}

func parse(text string) (Database, error) {
	var d Database
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, errors.New("it is not valid JSON of strings and a port number") // the parser's words could quote the password
	}
	var problems []error
	for _, field := range []struct{ name, value string }{{"host", d.Host}, {"username", d.Username}, {"dbname", d.Name}} {
		if field.value == "" {
			problems = append(problems, fmt.Errorf("%s is missing", field.name))
		}
	}
	if port, err := strconv.Atoi(d.Port.String()); err != nil || port < 1 || port > 65535 {
		problems = append(problems, errors.New("port is not a number from 1 to 65535"))
	}
	return d, errors.Join(problems...)
}

// Address is host:port.
func (d Database) Address() string { return net.JoinHostPort(d.Host, d.Port.String()) }

// PostgresURL is a connection string for PostgreSQL. It contains the password: never log it.
func (d Database) PostgresURL() string {
	mode := d.SSLMode
	if mode == "" {
		mode = "prefer"
	}
	u := url.URL{
		Scheme: "postgres", Host: d.Address(), Path: "/" + d.Name,
		User: url.UserPassword(d.Username, d.Password), RawQuery: url.Values{"sslmode": {mode}}.Encode(),
	}
	return u.String()
}

// Postgres reads a secret as a connection string each time it is called: vectorstore.Open asks before every
// connection, so a rotated password is the new one.
func Postgres(c client, arn string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		d, err := Read(ctx, c, arn)
		if err != nil {
			return "", err
		}
		return d.PostgresURL(), nil
	}
}
