package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"
)

// state is what one `up` leaves for the next one and for the tools around it.
type state struct {
	Addresses Addresses `json:"addresses"`
	// Auth says whether the running emulator enforces IAM policies.
	Auth bool `json:"auth"`
	// EmbeddedMySQL says that Addresses.MySQLDSN is our own server.
	EmbeddedMySQL bool `json:"embedded_mysql"`
	// Deployed is the hash of what was deployed last, and into which emulator process: its memory is all there is of the cloud.
	Deployed deployment `json:"deployed"`
}

type deployment struct {
	Hash     string `json:"hash"`
	Emulator string `json:"emulator"`
}

// Addresses are where the servers listen and how to reach them.
type Addresses struct {
	Endpoint    string `json:"endpoint"`     // of the emulated AWS
	PostgresURL string `json:"postgres_url"` // postgres://…
	MySQLDSN    string `json:"mysql_dsn"`    // go-sql-driver form
}

func (a Addresses) postgres() string {
	u, err := url.Parse(a.PostgresURL)
	if err != nil {
		return ""
	}
	return u.Host
}

func (a Addresses) mysql() string {
	config, err := mysql.ParseDSN(a.MySQLDSN)
	if err != nil {
		return ""
	}
	return config.Addr
}

func (s Settings) statePath() string { return filepath.Join(s.Dir, "state.json") }

func (s Settings) readState() (state, error) {
	var st state
	err := readJSON(s.statePath(), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	return st, err
}

func (s Settings) writeState(st state) error { return writeJSON(s.statePath(), st) }

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w (delete it if it is damaged)", path, err)
	}
	return nil
}

// writeJSON replaces the file in one step: a reader never sees half of it.
func writeJSON(path string, value any) error {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
