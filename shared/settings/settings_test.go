package settings_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/settings"
)

type example struct {
	Bucket  string `env:"LAKE_BUCKET"`
	Stream  string `env:"STREAM"`
	Limit   int    `env:"LIMIT" envDefault:"5"`
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
}

func TestEveryMissingSettingIsNamed(t *testing.T) {
	t.Parallel()
	_, err := settings.Load[example](settings.Source{"LIMIT": "five"})
	for _, name := range []string{"LAKE_BUCKET", "STREAM", "Limit"} {
		require.ErrorContains(t, err, name)
	}
}

func TestDefaultsApply(t *testing.T) {
	t.Parallel()
	cfg, err := settings.Load[example](settings.Source{"LAKE_BUCKET": "b", "STREAM": "s"})
	require.NoError(t, err)
	require.Equal(t, example{"b", "s", 5, "classicmodels"}, cfg)
}
