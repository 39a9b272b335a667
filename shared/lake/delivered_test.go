package lake_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

func TestTheTimeOfADeliveredObjectIsInItsName(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"activity/2026/11/22/09/millrace-ActivityStream-x1Y-1-2026-11-22-09-59-58-0c1d-4e5f": "2026-11-22T09:59:58Z",
		"2026-11-22-09-59-58-u":                          "2026-11-22T09:59:58Z",
		"activity/2026/11/22/09/by-hand.json":            "",
		"activity/2026/11/22/09/s-2026-13-22-09-59-58-u": "",
		"a-2026-11-22-09-59-58-u/b":                      "",
	} {
		at, known := lake.Delivered(key)
		require.Equal(t, want != "", known, key)
		if known {
			require.Equal(t, want, at.Format(time.RFC3339), key)
		}
	}
}
