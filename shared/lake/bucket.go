package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// S3 takes 5 GiB in one PUT, but a lost connection repeats all of it: parts of 8 MiB cost 16 requests
// for an object of 128 MiB. The extractor uploads two objects at once, each with two parts in flight and
// one that is being filled: 48 MiB of memory. S3's 10,000 parts make 80 GiB the largest object.
const (
	partBytes     = 8 << 20
	partsInFlight = 2
)

// Bucket is a Store in S3.
type Bucket struct {
	name   string
	client *s3.Client
	upload *transfermanager.Client
}

var _ Store = (*Bucket)(nil)

// NewBucket stores objects in the named bucket.
func NewBucket(cfg aws.Config, name string) *Bucket {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// An endpoint of one's own is an emulator, whose buckets have no host names.
		o.UsePathStyle = cfg.BaseEndpoint != nil
		// The SDK warns for each object of several parts that it did not check its composite checksum.
		// What a marker lists is checked by SHA-256 (Open).
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return &Bucket{name: name, client: client, upload: transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partBytes, partBytes, partsInFlight
	})}
}

// Get opens an object.
func (b *Bucket) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, "", b.explain("read", key, err)
	}
	return out.Body, aws.ToString(out.ETag), nil
}

// Put uploads r, in parts if it is large.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader) error {
	_, err := b.upload.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &b.name, Key: &key, Body: r})
	return b.explain("write", key, err)
}

// Create uploads r on S3's condition If-None-Match: *, which an upload in parts meets at its end.
func (b *Bucket) Create(ctx context.Context, key string, r io.Reader) error {
	_, err := b.upload.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &b.name, Key: &key, Body: r, IfNoneMatch: aws.String("*")})
	return b.explain("write", key, err)
}

// PutIf writes body on S3's condition If-Match, or If-None-Match: *.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, etag string) error {
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(body)}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	_, err := b.client.PutObject(ctx, in)
	err = b.explain("write", key, err)
	if errors.Is(err, ErrNotFound) { // S3's answer to If-Match where nothing is (any more)
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// List returns the keys below prefix in order.
func (b *Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain("list", prefix, err)
		}
		for _, object := range page.Contents {
			keys = append(keys, aws.ToString(object.Key))
		}
	}
	return keys, nil
}

// Delete removes an object.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	return b.explain("delete", key, err)
}

// explain adds what was done to what, and turns S3's codes into the Store's errors.
func (b *Bucket) explain(what, key string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			err = ErrNotFound
		case "PreconditionFailed", "ConditionalRequestConflict":
			err = ErrChanged
		case "NoSuchBucket":
			err = errors.New("there is no such bucket: is the stack deployed, and LAKE_BUCKET its output LakeBucketName?")
		}
	}
	return fmt.Errorf("%s s3://%s/%s: %w", what, b.name, key, err)
}
