package lake_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

func TestTheLastWordOnTheActiveModelIsOfWhoAskedLast(t *testing.T) {
	t.Parallel()
	s := lake.NewDirectory(t.TempDir())
	_, err := lake.ReadActiveModel(t.Context(), s)
	require.ErrorIs(t, err, lake.ErrNotFound)
	since := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	says := func(version string) func() (lake.ActiveModel, error) {
		return func() (lake.ActiveModel, error) {
			return lake.ActiveModel{Version: version, Since: since, Reason: "newest run"}, nil
		}
	}
	current, asked := "v1", 0
	require.NoError(t, lake.WriteActiveModel(t.Context(), s, func() (lake.ActiveModel, error) {
		asked++
		answer := says(current)
		if asked == 1 { // another loader activates v2 and writes it between our question and our writing
			current = "v2"
			require.NoError(t, lake.WriteActiveModel(t.Context(), s, says("v2")))
		}
		return answer()
	}))
	m, err := lake.ReadActiveModel(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, "v2", m.Version)
	require.Equal(t, "newest run", m.Reason)
	require.Equal(t, 2, asked)

	keys, err := s.List(t.Context(), "models/")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.False(t, strings.HasSuffix(keys[0], "/manifest.json"), "no event may be for it")
	require.NoError(t, s.Put(t.Context(), keys[0], strings.NewReader(`{"format":"millrace/active/9"}`)))
	_, err = lake.ReadActiveModel(t.Context(), s)
	require.ErrorContains(t, err, "another version of millrace")
}
