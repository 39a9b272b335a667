// Package settings reads a function's settings from environment variables into one struct,
// once, and reports every problem together.
package settings

import (
	"errors"
	"fmt"
	"os"

	"github.com/caarlos0/env/v11"
)

// Source holds environment variables by name.
type Source map[string]string

// Environment is the process's own.
func Environment() Source { return env.ToMap(os.Environ()) }

// Load fills a T by its `env:"NAME"` tags; a variable without envDefault is required.
func Load[T any](source Source) (T, error) {
	cfg, err := env.ParseAsWithOptions[T](env.Options{Environment: source, RequiredIfNoDef: true})
	var all env.AggregateError
	if errors.As(err, &all) {
		err = errors.Join(all.Errors...)
	}
	if err != nil {
		return cfg, fmt.Errorf("settings (environment variables, set by template.yaml):\n%w", err)
	}
	return cfg, nil
}
