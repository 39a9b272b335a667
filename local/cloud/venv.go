package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// stampName is the file that says which requirements a virtual environment is complete for. It is written last: an interrupted
// installation has none and is done again.
const stampName = "complete"

// venv returns the virtual environment <VenvDir>/venv-<name>, made from local/requirements-<name>.txt if it is not there or not
// complete; made says whether it was.
func (s Settings) venv(ctx context.Context, name string) (dir string, made bool, err error) {
	requirementsFile := filepath.Join(s.Root, "local", "requirements-"+name+".txt")
	requirements, err := os.ReadFile(requirementsFile)
	if err != nil {
		return "", false, err
	}
	dir = filepath.Join(s.VenvDir, "venv-"+name)
	unlock, err := lock(ctx, s.VenvDir, "venv-"+name)
	if err != nil {
		return "", false, err
	}
	defer unlock()
	if venvComplete(dir, requirements) {
		return dir, false, nil
	}

	python, err := findPython(ctx)
	if err != nil {
		return "", false, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", false, err
	}
	logFile := s.logPath("venv-" + name)
	for _, words := range [][]string{
		{python, "-m", "venv", dir},
		{filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--requirement", requirementsFile},
	} {
		install := command{words: words, dir: s.Root, environment: os.Environ(), log: logFile}
		if err := install.run(ctx); err != nil {
			return "", false, fmt.Errorf("virtual environment %s: %w", dir, err)
		}
	}
	return dir, true, stampVenv(dir, requirements)
}

// ReadersPython is the Python of the virtual environment that has DuckDB, PyArrow and PySpark, which only a test uses: it is
// made when that asks for it.
func (s Settings) ReadersPython(ctx context.Context) (string, error) {
	dir, _, err := s.venv(ctx, "readers")
	return filepath.Join(dir, "bin", "python"), err
}

func venvComplete(dir string, requirements []byte) bool {
	stamp, err := os.ReadFile(filepath.Join(dir, stampName))
	if err != nil || string(stamp) != venvStamp(dir, requirements) {
		return false
	}
	// The interpreter is a link to the system's Python, which an upgrade of the system may have removed.
	_, err = os.Stat(filepath.Join(dir, "bin", "python"))
	return err == nil
}

func stampVenv(dir string, requirements []byte) error {
	return os.WriteFile(filepath.Join(dir, stampName), []byte(venvStamp(dir, requirements)), 0o644)
}

// venvStamp contains the place, too: scripts in a virtual environment name their interpreter by its absolute path, so a moved one is broken.
func venvStamp(dir string, requirements []byte) string {
	sum := sha256.Sum256(requirements)
	return hex.EncodeToString(sum[:]) + " " + dir + "\n"
}

// findPython returns a Python ≥ 3.11 that can make virtual environments.
func findPython(ctx context.Context) (string, error) {
	const probe = `import sys
if sys.version_info < (3, 11): sys.exit("it is Python %d.%d" % sys.version_info[:2])
import venv, ensurepip`
	var found []error
	for _, name := range []string{"python3", "python3.14", "python3.13", "python3.12", "python3.11"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "-c", probe).CombinedOutput()
		if err == nil {
			return path, nil
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		found = append(found, fmt.Errorf("%s: %s", path, lines[len(lines)-1]))
	}
	remedy := "install Python 3.11 or newer with its venv module (Debian and Ubuntu: apt-get install python3 python3-venv)"
	if len(found) == 0 {
		return "", errors.New("python3 is not in PATH: " + remedy)
	}
	return "", fmt.Errorf("no usable Python: %w: %s", errors.Join(found...), remedy)
}
