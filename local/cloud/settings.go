package cloud

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/caarlos0/env/v11"
)

// Settings say where the local cloud lives. The zero value of a port means: the usual one, or any free one if that is taken.
type Settings struct {
	// Root is the checkout: template.yaml, samconfig.toml and the functions' sources.
	Root string
	// Dir holds the servers' data, logs, process records and the build; two clouds need two of them. A relative one is under Root.
	Dir string `env:"LOCAL_DIR" envDefault:".local"`
	// VenvDir holds the Python virtual environments, which are dear to make and can be shared. Empty: Dir.
	VenvDir string `env:"LOCAL_VENV_DIR"`
	// Stack is the name of the deployed stack.
	Stack string `env:"MILLRACE_STACK" envDefault:"millrace-local"`
	// Dataset is the shop: its tables are seeded, and the stack is deployed for it. Another one wants a LOCAL_DIR of its own.
	Dataset string `env:"DATASET" envDefault:"classicmodels"`
	// MySQLDSN names a MySQL server of the user's own (go-sql-driver form, user:password@tcp(host:port)/database) to use instead of the embedded one.
	MySQLDSN string `env:"MYSQL_DSN"`
	// Auth makes the emulator enforce IAM policies.
	Auth bool `env:"LOCAL_AUTH"`

	EmulatorPort int `env:"EMULATOR_PORT"`
	PostgresPort int `env:"POSTGRES_PORT"`
	MySQLPort    int `env:"MYSQL_PORT"`
}

// SettingsFrom reads the settings from environment variables and finds the checkout above the directory from.
func SettingsFrom(environ map[string]string, from string) (Settings, error) {
	var s Settings
	if err := env.ParseWithOptions(&s, env.Options{Environment: environ}); err != nil {
		return Settings{}, fmt.Errorf("settings: %w", err)
	}
	root, err := findRoot(from)
	if err != nil {
		return Settings{}, err
	}
	s.Root = root
	return s.complete()
}

// complete fills in what follows from other settings and makes the paths absolute.
func (s Settings) complete() (Settings, error) {
	for name, port := range map[string]int{"EMULATOR_PORT": s.EmulatorPort, "POSTGRES_PORT": s.PostgresPort, "MYSQL_PORT": s.MySQLPort} {
		if port < 0 || port > 65535 {
			return Settings{}, fmt.Errorf("settings: %s=%d is not a port: use 1 to 65535", name, port)
		}
	}
	if s.Dir == "" {
		s.Dir = ".local"
	}
	if s.Stack == "" {
		s.Stack = "millrace-local"
	}
	if s.Dataset == "" {
		s.Dataset = "classicmodels"
	}
	if s.VenvDir == "" {
		s.VenvDir = s.Dir
	}
	for _, dir := range []*string{&s.Dir, &s.VenvDir} {
		if !filepath.IsAbs(*dir) {
			*dir = filepath.Join(s.Root, *dir)
		}
	}
	return s, nil
}

func findRoot(from string) (string, error) {
	for dir := from; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.work in %s or above it: run this inside a checkout of millrace", from)
		}
	}
}
