package event_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/event"
)

func TestLinesOfAnyLengthAreReadOrNamed(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("a", event.MaxBytes)
	text := "one\r\n\n  \n" + most + "\r\n" + most + "bb\n" + most + most + most + "\nlast"
	var got []string
	for line, err := range event.Lines(iotest.HalfReader(strings.NewReader(text))) {
		require.NoError(t, err)
		if line.Err != nil {
			require.Nil(t, line.Payload)
			require.ErrorContains(t, line.Err, "more than the 262144 bytes")
		}
		got = append(got, fmt.Sprintf("%d %d %t", line.Number, len(line.Payload), line.Err != nil))
	}
	require.Equal(t, []string{"1 3 false", "4 262144 false", "5 0 true", "6 0 true", "7 4 false"}, got)

	broken := errors.New("the disk is broken")
	var last error
	for line, err := range event.Lines(io.MultiReader(strings.NewReader("one\ntw"), iotest.ErrReader(broken))) {
		require.True(t, last == nil && (err != nil || string(line.Payload) == "one"))
		last = err
	}
	require.ErrorIs(t, last, broken)
}
