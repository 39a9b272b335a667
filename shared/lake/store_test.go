package lake_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
)

func TestDirectoryKeepsTheStoresPromises(t *testing.T) {
	t.Parallel()
	conform(t, lake.NewDirectory(t.TempDir()))
}

func TestBucketKeepsTheStoresPromises(t *testing.T) {
	t.Parallel()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Skip("no emulated AWS: AWS_ENDPOINT_URL is not set (make test sets it)")
	}
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	require.NoError(t, err)
	name := fmt.Sprintf("millrace-store-test-%d", os.Getpid())
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
	bucket := lake.NewBucket(cfg, name)
	t.Cleanup(func() {
		keys, err := bucket.List(ctx, "")
		require.NoError(t, err)
		for _, key := range keys {
			require.NoError(t, bucket.Delete(ctx, key))
		}
		_, err = client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
		require.NoError(t, err)
	})
	conform(t, bucket)
	_, _, err = lake.NewBucket(cfg, name+"-none").Get(ctx, "k")
	require.ErrorContains(t, err, "is the stack deployed")
}

// conform is the suite that every Store passes.
func conform(t *testing.T, s lake.Store) {
	ctx := context.Background()
	read := func(key string) (string, string) {
		body, etag, err := s.Get(ctx, key)
		require.NoError(t, err)
		defer body.Close()
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		return string(text), etag
	}
	_, _, err := s.Get(ctx, "absent/é")
	require.ErrorIs(t, err, lake.ErrNotFound)
	require.NoError(t, s.Delete(ctx, "absent/é"))

	// Large enough for three parts of a multipart upload.
	large := strings.Repeat("0123456789abcdef", 40<<20/16)
	require.NoError(t, s.Put(ctx, "a/large=ü %2F", strings.NewReader(large)))
	text, _ := read("a/large=ü %2F")
	require.True(t, text == large, "a large object comes back whole")

	require.NoError(t, s.PutIf(ctx, "a/marker", []byte("1"), ""))
	require.ErrorIs(t, s.PutIf(ctx, "a/marker", []byte("2"), ""), lake.ErrChanged)
	_, etag := read("a/marker")
	require.NoError(t, s.PutIf(ctx, "a/marker", []byte("3"), etag))
	require.ErrorIs(t, s.PutIf(ctx, "a/marker", []byte("4"), etag), lake.ErrChanged)
	text, _ = read("a/marker")
	require.Equal(t, "3", text)
	require.ErrorIs(t, s.PutIf(ctx, "a/none", []byte("1"), etag), lake.ErrChanged)

	require.NoError(t, s.Create(ctx, "c/large", strings.NewReader(large)))
	require.ErrorIs(t, s.Create(ctx, "c/large", strings.NewReader(large)), lake.ErrChanged, "in parts")
	require.ErrorIs(t, s.Create(ctx, "c/large", strings.NewReader("small")), lake.ErrChanged)
	text, _ = read("c/large")
	require.True(t, text == large)
	require.NoError(t, s.Delete(ctx, "c/large"))

	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if s.PutIf(ctx, "b/race", fmt.Append(nil, i), "") == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load(), "of several writers exactly one wins")

	require.NoError(t, s.Put(ctx, "a/marker", bytes.NewReader(nil)))
	keys, err := s.List(ctx, "a/")
	require.NoError(t, err)
	require.Equal(t, []string{"a/large=ü %2F", "a/marker"}, keys)
}

func TestFilesMayBeReadByWhoeverTheUmaskLets(t *testing.T) {
	dir := t.TempDir()
	before := syscall.Umask(0o027)
	defer syscall.Umask(before)
	require.NoError(t, lake.NewDirectory(dir).Put(t.Context(), "a", strings.NewReader("x")))
	info, err := os.Stat(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
}

func TestTheDirectoryOfNoNameIsTheCurrentOne(t *testing.T) {
	t.Chdir(t.TempDir())
	d := lake.NewDirectory("")
	require.NoError(t, d.Put(t.Context(), "a/b", strings.NewReader("x")))
	keys, err := d.List(t.Context(), "a/")
	require.NoError(t, err)
	require.Equal(t, []string{"a/b"}, keys)
}
