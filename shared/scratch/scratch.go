// Package scratch gives files on the local disk that vanish with the process: a crash leaves nothing behind.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// File is a temporary file without a name. Close frees its space.
type File struct {
	*os.File
	dir string
}

// New makes a file in the machine's directory for temporary files: $TMPDIR, else /tmp, which is all that a Lambda function
// may write to.
func New() (*File, error) {
	dir := os.TempDir()
	f, err := os.CreateTemp(dir, "millrace-")
	if err == nil {
		err = os.Remove(f.Name()) // the open file stays until it is closed
	}
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", explain(dir, err))
	}
	return &File{f, dir}, nil
}

// Write appends; a full disk is an error that says how to give it more room.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, explain(f.dir, err)
}

func explain(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: raise the function's EphemeralStorage in template.yaml (at most 10,240 MB), or on a machine of your own set TMPDIR to a directory with more room than %s", err, dir)
	}
	return err
}
