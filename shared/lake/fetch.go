package lake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/shared/scratch"
)

// Fetch copies a listed file to the local disk, for formats that are read from their end, and checks size and SHA-256 on the
// way. Memory: none. The caller closes the file, which frees its space.
func Fetch(ctx context.Context, s Store, f File) (_ *scratch.File, err error) {
	body, err := Open(ctx, s, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	local, err := scratch.New()
	if err != nil {
		return nil, err
	}
	// Hidden, a *os.File would read from the body by itself, past the check.
	if _, err := io.Copy(struct{ io.Writer }{local}, body); err != nil {
		return nil, errors.Join(fmt.Errorf("object %s: %w", f.Key, err), local.Close())
	}
	return local, nil
}
