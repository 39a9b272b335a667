package athena_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/athena/types"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/athena"
)

// fakeAthena ends a query after it was looked at so many times.
type fakeAthena struct {
	started []*sdk.StartQueryExecutionInput
	looks   int // until it ends
	state   types.QueryExecutionState
	reason  string
	pages   []*sdk.GetQueryResultsOutput
}

func (f *fakeAthena) StartQueryExecution(_ context.Context, in *sdk.StartQueryExecutionInput, _ ...func(*sdk.Options)) (*sdk.StartQueryExecutionOutput, error) {
	f.started = append(f.started, in)
	return &sdk.StartQueryExecutionOutput{QueryExecutionId: aws.String("q-1")}, nil
}

func (f *fakeAthena) GetQueryExecution(_ context.Context, in *sdk.GetQueryExecutionInput, _ ...func(*sdk.Options)) (*sdk.GetQueryExecutionOutput, error) {
	state := f.state
	if f.looks > 0 {
		f.looks--
		state = types.QueryExecutionStateRunning
	}
	return &sdk.GetQueryExecutionOutput{QueryExecution: &types.QueryExecution{
		QueryExecutionId: in.QueryExecutionId, Status: &types.QueryExecutionStatus{State: state, StateChangeReason: &f.reason},
	}}, nil
}

func (f *fakeAthena) GetQueryResults(_ context.Context, in *sdk.GetQueryResultsInput, _ ...func(*sdk.Options)) (*sdk.GetQueryResultsOutput, error) {
	if in.NextToken == nil {
		return f.pages[0], nil
	}
	return f.pages[1], nil
}

func page(next *string, rows ...[]*string) *sdk.GetQueryResultsOutput {
	out := &sdk.GetQueryResultsOutput{NextToken: next, ResultSet: &types.ResultSet{}}
	for _, row := range rows {
		var data []types.Datum
		for _, field := range row {
			data = append(data, types.Datum{VarCharValue: field})
		}
		out.ResultSet.Rows = append(out.ResultSet.Rows, types.Row{Data: data})
	}
	return out
}

func setup(f *fakeAthena) *athena.Workgroup {
	return athena.New(f, "stack", "shop", time.Millisecond)
}

func TestAQueryGivesAllItsRowsWithoutTheHeader(t *testing.T) {
	t.Parallel()
	text := aws.String
	f := &fakeAthena{state: types.QueryExecutionStateSucceeded, looks: 3, pages: []*sdk.GetQueryResultsOutput{
		page(text("more"), []*string{text("n")}, []*string{text("1")}, []*string{nil}), page(nil, []*string{text("n")}),
	}}
	rows, err := setup(f).Query(t.Context(), "SELECT n FROM t")
	require.NoError(t, err)
	require.Equal(t, [][]*string{{text("1")}, {nil}, {text("n")}}, rows)
	require.Equal(t, "SELECT n FROM t", *f.started[0].QueryString)
	require.Equal(t, "stack", *f.started[0].WorkGroup)
	require.Equal(t, "shop", *f.started[0].QueryExecutionContext.Database)
	require.Nil(t, f.started[0].ClientRequestToken, "each query anew")
}

func TestAStatementCarriesItsToken(t *testing.T) {
	t.Parallel()
	f := &fakeAthena{state: types.QueryExecutionStateSucceeded}
	require.NoError(t, setup(f).Once(t.Context(), "UNLOAD", "token"))
	require.Equal(t, "token", *f.started[0].ClientRequestToken)
}

func TestAFailureSaysWhetherItIsFromAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	for looks, earlier := range map[int]bool{0: true, 1: false} {
		for _, state := range []types.QueryExecutionState{types.QueryExecutionStateFailed, types.QueryExecutionStateCancelled} {
			err := setup(&fakeAthena{state: state, reason: "SYNTAX_ERROR: line 1", looks: looks}).Once(t.Context(), "UNLOAD", "token")
			var failed *athena.QueryError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, &athena.QueryError{ID: "q-1", State: string(state), Reason: "SYNTAX_ERROR: line 1", Earlier: earlier}, failed)
		}
	}
}

func TestWaitingEndsBeforeTheInvocationDoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	started := time.Now()
	err := setup(&fakeAthena{looks: 1 << 30}).Once(ctx, "UNLOAD", "token")
	require.ErrorIs(t, err, athena.ErrRunning)
	require.Less(t, time.Since(started), 5*time.Second)
}
