package lake

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Directory is a Store in a local folder: the key is the path below it.
type Directory struct {
	root string
	once sync.Once // before the first write
}

var _ Store = (*Directory)(nil)

// NewDirectory stores objects below root, which is made when it is first written to.
func NewDirectory(root string) *Directory { return &Directory{root: filepath.Clean(root)} }

func (d *Directory) path(key string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return "", fmt.Errorf("key %q leads out of %s", key, d.root)
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// Get opens a file; its ETag is its SHA-256.
func (d *Directory) Get(_ context.Context, key string) (io.ReadCloser, string, error) {
	path, err := d.path(key)
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("read %s: %w", path, ErrNotFound)
	} else if err != nil {
		return nil, "", err
	}
	hash := sha256.New()
	if _, err = io.Copy(hash, f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return f, hex.EncodeToString(hash.Sum(nil)), nil
}

// Put writes a temporary file and renames it.
func (d *Directory) Put(_ context.Context, key string, r io.Reader) error {
	temporary, path, err := d.temporary(key, r)
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Create links the temporary file to its name, which fails if the name is taken.
func (d *Directory) Create(_ context.Context, key string, r io.Reader) error {
	temporary, path, err := d.temporary(key, r)
	if err != nil {
		return err
	}
	err = os.Link(temporary, path)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("write %s: %w", path, ErrChanged)
	}
	return errors.Join(err, os.Remove(temporary))
}

// PutIf is atomic against other processes where nothing exists yet (a hard link fails if the
// name is taken). Replacing by ETag is checked, then renamed: two processes replacing the same
// marker at the same moment are not told apart.
func (d *Directory) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	temporary, path, err := d.temporary(key, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if etag == "" {
		if err := os.Link(temporary, path); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write %s: %w", path, ErrChanged)
		} else if err != nil {
			return err
		}
		return nil
	}
	current, now, err := d.Get(ctx, key)
	if err == nil {
		err = current.Close()
	}
	if errors.Is(err, ErrNotFound) || (err == nil && now != etag) {
		return fmt.Errorf("write %s: %w", path, ErrChanged)
	} else if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (d *Directory) temporary(key string, r io.Reader) (temporary, path string, err error) {
	if path, err = d.path(key); err != nil {
		return "", "", err
	}
	if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", "", err
	}
	writing := filepath.Join(d.root, temporaryFolder)
	if err = os.MkdirAll(writing, 0o755); err != nil {
		return "", "", err
	}
	d.once.Do(func() { removeAbandoned(writing) })
	// Whoever may read the folder may read what is in it: by the umask, where os.CreateTemp makes files for the owner alone.
	f, err := os.OpenFile(filepath.Join(writing, rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", "", err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", "", errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return f.Name(), path, nil
}

const (
	// temporaryFolder is apart from the objects, so that a process that was killed leaves nothing among them.
	temporaryFolder = ".millrace"
	// abandoned is far longer than an object takes to be written.
	abandoned = 24 * time.Hour
)

// removeAbandoned tidies up after processes that were killed; what it cannot remove harms nobody.
func removeAbandoned(folder string) {
	files, _ := os.ReadDir(folder)
	for _, f := range files {
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(folder, f.Name()))
		}
	}
}

// List walks the folder.
func (d *Directory) List(_ context.Context, prefix string) ([]string, error) {
	var keys []string
	err := filepath.WalkDir(d.root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.Name() == temporaryFolder {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(d.root, path)
		if key := filepath.ToSlash(relative); strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
		return err
	})
	slices.Sort(keys)
	return keys, err
}

// Delete removes a file.
func (d *Directory) Delete(_ context.Context, key string) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
