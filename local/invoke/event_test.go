package invoke_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/invoke"
	"github.com/millrace/millrace/shared/lake"
)

func TestEventsAreAddressedToTheStacksOwnLakeAndModel(t *testing.T) {
	t.Parallel()
	store := lake.NewDirectory(t.TempDir())
	for _, key := range []string{"models/20261122T020000Z-0badcafe/manifest.json", "models/20261122T020000Z-0badcafe/items.parquet"} {
		require.NoError(t, store.Put(t.Context(), key, strings.NewReader("{}")))
	}
	created := func(bucket, key string) string {
		return `{"detail":{"bucket":{"name":"` + bucket + `"},"object":{"key":"` + key + `","size":12345678901234567890}}}`
	}
	for _, c := range []struct{ name, event, want string }{
		{"a key", created("millrace-lake", "raw/t/_MANIFEST.json"), created("own", "raw/t/_MANIFEST.json")},
		{"a model of a run that is there", created("millrace-lake", "models/20261122T020000Z-00000000/manifest.json"), created("own", "models/20261122T020000Z-0badcafe/manifest.json")},
		{"a model of a run that is not", created("millrace-lake", "models/20261123T020000Z-00000000/manifest.json"), created("own", "models/20261123T020000Z-00000000/manifest.json")},
		{"another bucket stays", created("foreign", "models/20261122T020000Z-00000000/manifest.json"), created("foreign", "models/20261122T020000Z-00000000/manifest.json")},
		{"no object", `{"table":"ratings"}`, `{"table":"ratings"}`},
		{"no JSON", `{"table`, `{"table`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := invoke.ForLake(t.Context(), []byte(c.event), "own", store)
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
}

func TestAFunctionsErrorIsToldFromItsAnswer(t *testing.T) {
	t.Parallel()
	_, err := invoke.Decode([]byte(`{"errorMessage": "no such table", "errorType": "errorString"}` + "\n"))
	var failed *invoke.FunctionError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "no such table", failed.Error())

	answer, err := invoke.Decode([]byte(" {\"rows\": 3}\n"))
	require.NoError(t, err)
	require.JSONEq(t, `{"rows": 3}`, string(answer))

	_, err = invoke.Decode([]byte("\n"))
	require.ErrorContains(t, err, "timeout")
}

func TestTheSAMCLIsReasonIsShownWithoutItsTraceback(t *testing.T) {
	t.Parallel()
	require.Equal(t, "no network", invoke.Reason("Invoking bootstrap\n\nError: no network\nTraceback:\n  File x\n"))
	require.Contains(t, invoke.Reason("what else\n"), "what else")
}
