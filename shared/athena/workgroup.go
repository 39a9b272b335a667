// Package athena runs queries in one Athena workgroup and waits for them.
package athena

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/athena/types"
)

// queries is what is used of Athena.
type queries interface {
	StartQueryExecution(context.Context, *athena.StartQueryExecutionInput, ...func(*athena.Options)) (*athena.StartQueryExecutionOutput, error)
	GetQueryExecution(context.Context, *athena.GetQueryExecutionInput, ...func(*athena.Options)) (*athena.GetQueryExecutionOutput, error)
	GetQueryResults(context.Context, *athena.GetQueryResultsInput, ...func(*athena.Options)) (*athena.GetQueryResultsOutput, error)
}

var _ queries = (*athena.Client)(nil)

// Workgroup runs queries on one database.
type Workgroup struct {
	client         queries
	name, database string
	poll           time.Duration
}

// Poll is how often a running query is looked at: it costs nothing but the request, and queries take seconds.
const Poll = time.Second

// New returns a workgroup; client is an *athena.Client.
func New(client queries, name, database string, poll time.Duration) *Workgroup {
	return &Workgroup{client: client, name: name, database: database, poll: poll}
}

// QueryError is a query that Athena ended without a result.
type QueryError struct {
	ID     string
	State  string // FAILED or CANCELLED
	Reason string
	// Earlier says that it had ended before this call: the same token was used by an earlier attempt.
	Earlier bool
}

func (e *QueryError) Error() string {
	return fmt.Sprintf("athena query %s: %s: %s", e.ID, e.State, e.Reason)
}

// ErrRunning says that the time of the invocation ends before the query. It goes on in Athena, and
// Once with the same statement and token finds it again.
var ErrRunning = errors.New("still running when this invocation's time ends: the next attempt waits for the same query")

// margin is what is left of the invocation's time when waiting ends, for the error to be logged.
const margin = 10 * time.Second

// Once runs a statement, at most once for a token (32 to 128 characters): the same statement with the same token is the same
// query, whoever sends it and whenever within the time that Athena remembers, running or ended.
func (w *Workgroup) Once(ctx context.Context, statement, token string) error {
	_, err := w.run(ctx, statement, &token)
	return err
}

// Query runs a SELECT and returns its rows as text; nil is NULL.
func (w *Workgroup) Query(ctx context.Context, query string) (rows [][]*string, err error) {
	id, err := w.run(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	var next *string
	for header := true; ; header = false {
		page, err := w.client.GetQueryResults(ctx, &athena.GetQueryResultsInput{QueryExecutionId: &id, NextToken: next})
		if err != nil {
			return nil, fmt.Errorf("athena query %s: results: %w", id, err)
		}
		for i, row := range page.ResultSet.Rows {
			if header && i == 0 {
				continue // the names of the columns
			}
			texts := make([]*string, len(row.Data))
			for i, field := range row.Data {
				texts[i] = field.VarCharValue
			}
			rows = append(rows, texts)
		}
		if next = page.NextToken; next == nil {
			return rows, nil
		}
	}
}

// run starts a statement and waits until it has succeeded.
func (w *Workgroup) run(ctx context.Context, statement string, token *string) (id string, err error) {
	started, err := w.client.StartQueryExecution(ctx, &athena.StartQueryExecutionInput{
		QueryString: &statement, WorkGroup: &w.name, ClientRequestToken: token,
		QueryExecutionContext: &types.QueryExecutionContext{Database: &w.database},
	})
	if err != nil {
		return "", fmt.Errorf("athena workgroup %s: %w", w.name, err)
	}
	id = aws.ToString(started.QueryExecutionId)
	deadline, bounded := ctx.Deadline()
	for first := true; ; first = false {
		out, err := w.client.GetQueryExecution(ctx, &athena.GetQueryExecutionInput{QueryExecutionId: &id})
		if err != nil {
			return "", fmt.Errorf("athena query %s: %w", id, err)
		}
		switch status := out.QueryExecution.Status; status.State {
		case types.QueryExecutionStateSucceeded:
			return id, nil
		case types.QueryExecutionStateFailed, types.QueryExecutionStateCancelled:
			return "", &QueryError{ID: id, State: string(status.State), Reason: aws.ToString(status.StateChangeReason), Earlier: first}
		}
		if bounded && time.Until(deadline) < margin+w.poll {
			return "", fmt.Errorf("athena query %s: %w", id, ErrRunning)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("athena query %s: %w", id, ctx.Err())
		case <-time.After(w.poll):
		}
	}
}
