package lake

import (
	"context"
	"errors"
	"io"
)

// Store holds the lake's objects. There are two: a Bucket, and a Directory with the same keys
// below it for working without a cloud; store_test.go runs one suite over both.
type Store interface {
	// Get opens an object and tells its ETag. ErrNotFound if there is none.
	Get(ctx context.Context, key string) (body io.ReadCloser, etag string, err error)
	// Put writes or replaces an object with all of r, in bounded memory. A failed Put leaves
	// what was there before.
	Put(ctx context.Context, key string, r io.Reader) error
	// Create is Put where nothing is yet: ErrChanged, after reading all of r, if there is an object. Of
	// several writers exactly one wins.
	Create(ctx context.Context, key string, r io.Reader) error
	// PutIf writes a small object only if the stored one still has this ETag, or, with "", only
	// if there is none: else ErrChanged. Of several writers exactly one wins.
	PutIf(ctx context.Context, key string, body []byte, etag string) error
	// List returns the keys that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error
}

var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("no such object")
	// ErrChanged says that another writer was first.
	ErrChanged = errors.New("the object was changed by another writer")
)
