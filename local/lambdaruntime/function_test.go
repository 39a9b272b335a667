package lambdaruntime_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/lambdaruntime"
	"github.com/millrace/millrace/shared/eventsource"
)

// TestMain is the bootstrap too: the tests start their own binary.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		os.Exit(m.Run())
	}
	lambda.Start(func(ctx context.Context, what string) (string, error) {
		switch what {
		case "fail":
			return "", errors.New("it broke")
		case "exit":
			os.Exit(3)
		case "hang":
			select {}
		case "deadline":
			deadline, _ := ctx.Deadline()
			return time.Until(deadline).Round(time.Minute).String(), nil
		}
		return what, nil
	})
}

func function(t *testing.T, timeout time.Duration, begun func(string)) *lambdaruntime.Function {
	f := lambdaruntime.New(lambdaruntime.Settings{Bootstrap: os.Args[0], Timeout: timeout, Concurrency: 1, Log: io.Discard, Begun: begun})
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func TestAnInvocationEndsAsItsProcessDoes(t *testing.T) {
	t.Parallel()
	traces := make(chan string, 10)
	f := function(t, time.Hour, func(trace string) { traces <- trace })
	invoke := func(event string) (string, error) {
		answer, err := f.Invoke(t.Context(), []byte(event))
		return string(answer), err
	}
	answer, err := invoke(`"deadline"`)
	require.NoError(t, err)
	require.Equal(t, `"1h0m0s"`, answer)
	_, err = invoke(`"fail"`)
	require.EqualError(t, err, "errorString: it broke")
	require.Equal(t, 1, f.Starts(), "one process for both")
	_, err = invoke(`"exit"`)
	require.ErrorContains(t, err, "exit status 3")
	answer, err = invoke(`"again"`)
	require.NoError(t, err)
	require.Equal(t, `"again"`, answer)
	require.Equal(t, 2, f.Starts())

	lost := true
	f.OnAnswer(func() bool { defer func() { lost = false }(); return lost })
	_, err = invoke(`"unheard"`)
	require.ErrorContains(t, err, "killed")
	_, err = invoke(`"heard"`)
	require.NoError(t, err)

	hanging := make(chan error)
	go func() { _, err := invoke(`"hang"`); hanging <- err }()
	for range 7 {
		require.NotEmpty(t, <-traces)
	}
	_, err = invoke(`"one at a time"`)
	require.ErrorIs(t, err, eventsource.ErrNotInvoked)
	require.True(t, f.Kill(0))
	require.ErrorContains(t, <-hanging, "killed")
	require.False(t, f.Kill(0), "nothing runs")
}

func TestAnInvocationThatTakesTooLongIsKilled(t *testing.T) {
	t.Parallel()
	f := function(t, 200*time.Millisecond, nil)
	_, err := f.Invoke(t.Context(), []byte(`"hang"`))
	require.Regexp(t, "timed out after 200ms|did not ask for an invocation in time", err) // the second on a busy machine
	require.Nil(t, f.Process(0))
}
