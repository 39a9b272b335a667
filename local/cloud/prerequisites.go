package cloud

import (
	"errors"
	"fmt"
	"os/exec"
)

// checkPrerequisites reports every program that is missing, with the way to get it.
func checkPrerequisites() error {
	var missing []error
	for _, p := range []struct{ program, remedy string }{
		{"go", "install Go 1.26 or newer from https://go.dev/dl/"},
		{"make", "install it (Debian and Ubuntu: apt-get install make; macOS: xcode-select --install)"},
	} {
		if _, err := exec.LookPath(p.program); err != nil {
			missing = append(missing, fmt.Errorf("%s is not in PATH: %s", p.program, p.remedy))
		}
	}
	return errors.Join(missing...)
}
