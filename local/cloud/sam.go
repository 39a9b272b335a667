package cloud

import (
	"context"
	"path/filepath"
)

// SAM is the SAM CLI: how to call it on this cloud, and where Deploy leaves what it built.
type SAM struct {
	Venv        string
	Program     string
	Root        string   // of the checkout, where samconfig.toml is
	Build       string   // the build directory, with template.yaml and a directory per function
	Environment []string // for programs on the host; in a container the endpoint is another
}

// SAM installs the SAM CLI if it is not there yet.
func (c *Cloud) SAM(ctx context.Context) (SAM, error) {
	venv, err := c.prepareVenv(ctx, "sam")
	if err != nil {
		return SAM{}, err
	}
	return SAM{
		Venv: venv, Program: filepath.Join(venv, "bin", "sam"),
		Root: c.settings.Root, Build: filepath.Join(c.settings.Dir, "build"), Environment: c.samEnvironment(venv),
	}, nil
}

// InstallSAM returns the path of the SAM CLI, installed if it is not there yet; no cloud needs to run.
func InstallSAM(ctx context.Context, settings Settings) (program string, err error) {
	s, err := settings.complete()
	if err != nil {
		return "", err
	}
	venv, _, err := s.venv(ctx, "sam")
	return filepath.Join(venv, "bin", "sam"), err
}
