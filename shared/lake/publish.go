package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Marker is any of the markers, by its header.
type Marker interface{ MarkerHeader() Header }

// ErrSuperseded says that a newer run has already published under this marker's key.
var ErrSuperseded = errors.New("a newer run is already published")

// maxMarker bounds what a marker can make a reader allocate: 10,000 files take 5 MiB.
const maxMarker = 64 << 20

// Write uploads what write produces and describes it, computing size and SHA-256 on the way.
// The caller fills in rows and checksum.
func Write(ctx context.Context, s Store, key string, write func(io.Writer) error) (File, error) {
	return upload(ctx, s.Put, key, write)
}

// Create is Write for an object that is never replaced: what is there with the same content already
// is taken for it. ErrChanged if there is an object with other content.
func Create(ctx context.Context, s Store, key string, write func(io.Writer) error) (File, error) {
	file, err := upload(ctx, s.Create, key, write)
	if !errors.Is(err, ErrChanged) || file.Key == "" {
		return file, err
	}
	there, failed := Open(ctx, s, file)
	if failed != nil {
		return File{}, failed
	}
	_, failed = io.Copy(io.Discard, there)
	if failed = errors.Join(failed, there.Close()); errors.Is(failed, ErrStale) {
		return File{}, err
	}
	return file, failed
}

// upload describes what was written also where put has found another object in its place.
func upload(ctx context.Context, put func(context.Context, string, io.Reader) error, key string, write func(io.Writer) error) (File, error) {
	pr, pw := io.Pipe()
	measured := &measure{w: pw, hash: sha256.New()}
	done := make(chan error, 1)
	go func() {
		err := write(measured)
		pw.CloseWithError(err) // nil is EOF; an error makes the Put fail and leave nothing
		done <- err
	}()
	putErr := put(ctx, key, pr)
	pr.CloseWithError(errors.Join(putErr, errors.New("upload ended"))) // never leave write blocked
	if err := <-done; err != nil {
		return File{}, err // the producer's own, or the upload's passed on to it
	}
	return File{Key: key, Size: measured.size, SHA256: hex.EncodeToString(measured.hash.Sum(nil))}, putErr
}

type measure struct {
	w    io.Writer
	hash hash.Hash
	size int64
}

func (m *measure) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.hash.Write(p[:n])
	m.size += int64(n)
	return n, err
}

// Publish writes a marker, last, so that what it lists becomes visible at once. It reports
// false, and changes nothing, when the very same marker is there already (a retry or a second
// delivery); an older run's marker is replaced; ErrSuperseded if a newer run's is there.
func Publish(ctx context.Context, s Store, key string, marker Marker) (published bool, err error) {
	body, err := json.MarshalIndent(marker, "", "  ")
	if err != nil {
		return false, fmt.Errorf("marker %s: %w", key, err)
	}
	for {
		var header Header
		current, etag, err := readAll(ctx, s, key)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return false, err
		case bytes.Equal(current, body):
			return false, nil
		case json.Unmarshal(current, &header) == nil && header.Run > marker.MarkerHeader().Run:
			return false, fmt.Errorf("marker %s of run %s: %w: %s", key, marker.MarkerHeader().Run, ErrSuperseded, header.Run)
		}
		err = s.PutIf(ctx, key, body, etag)
		if errors.Is(err, ErrChanged) {
			continue // somebody was faster: look at what they wrote
		}
		return err == nil, err
	}
}

// PublishOnce writes a marker that is never replaced, last. Where another writer was faster, it returns
// that writer's, and false.
func PublishOnce[M Marker](ctx context.Context, s Store, key, format string, marker M) (M, bool, error) {
	body, err := json.MarshalIndent(marker, "", "  ")
	if err != nil {
		return marker, false, fmt.Errorf("marker %s: %w", key, err)
	}
	if err := s.PutIf(ctx, key, body, ""); !errors.Is(err, ErrChanged) {
		return marker, err == nil, err
	}
	there, parent, err := ReadMarker[M](ctx, s, key, format)
	// The same bytes may be ours: a client whose answer was lost writes a second time.
	return there, err == nil && parent == parentOf(key, body), err
}

// ReadMarker reads and checks a marker of format M, and identifies it as a parent.
func ReadMarker[M Marker](ctx context.Context, s Store, key, format string) (M, Parent, error) {
	var marker M
	body, _, err := readAll(ctx, s, key)
	if err != nil {
		return marker, Parent{}, err
	}
	if err := json.Unmarshal(body, &marker); err != nil {
		return marker, Parent{}, fmt.Errorf("marker %s is not valid JSON (%w): remove it, and repeat the step that wrote it", key, err)
	}
	if got := marker.MarkerHeader().Format; got != format {
		return marker, Parent{}, fmt.Errorf("marker %s has format %q, want %q", key, got, format)
	}
	return marker, parentOf(key, body), nil
}

// ReadParent reads a marker that another one names, and fails with ErrStale if it is no
// longer what it was: a newer run has replaced it, and brings an event of its own.
func ReadParent[M Marker](ctx context.Context, s Store, p Parent, format string) (M, error) {
	marker, now, err := ReadMarker[M](ctx, s, p.Key, format)
	if err == nil && now.SHA256 != p.SHA256 {
		err = fmt.Errorf("marker %s: %w", p.Key, ErrStale)
	}
	return marker, err
}

// ErrStale says that an object is no longer what a marker says: it was replaced, or damaged.
var ErrStale = errors.New("its content is not what the marker that names it recorded: a newer run replaced it, or it is damaged")

// ErrInterrupted says that reading an object broke off, which says nothing of the object: try again.
var ErrInterrupted = errors.New("reading it was interrupted")

func parentOf(key string, body []byte) Parent {
	sum := sha256.Sum256(body)
	return Parent{Key: key, SHA256: hex.EncodeToString(sum[:])}
}

func readAll(ctx context.Context, s Store, key string) ([]byte, string, error) {
	r, etag, err := s.Get(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, maxMarker+1))
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrInterrupted, err)
	case len(body) > maxMarker:
		err = fmt.Errorf("larger than %d bytes", maxMarker)
	}
	if err != nil {
		return nil, "", fmt.Errorf("marker %s: %w", key, err)
	}
	return body, etag, nil
}

// Open opens a listed file for streaming. The reader fails with ErrStale instead of io.EOF
// when size or SHA-256 differ, so whoever reads to the end has read exactly what was published.
func Open(ctx context.Context, s Store, f File) (io.ReadCloser, error) {
	r, _, err := s.Get(ctx, f.Key)
	if err != nil {
		return nil, err
	}
	return &verified{ReadCloser: r, file: f, hash: sha256.New()}, nil
}

// ReadFile reads a listed file whole, for formats that need random access. Memory: f.Size.
func ReadFile(ctx context.Context, s Store, f File) ([]byte, error) {
	r, err := Open(ctx, s, f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

type verified struct {
	io.ReadCloser
	file File
	hash hash.Hash
	size int64
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	v.size += int64(n)
	if v.size > v.file.Size || errors.Is(err, io.EOF) &&
		(v.size != v.file.Size || hex.EncodeToString(v.hash.Sum(nil)) != v.file.SHA256) {
		return 0, fmt.Errorf("object %s: %w", v.file.Key, ErrStale)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("object %s: %w: %w", v.file.Key, ErrInterrupted, err)
	}
	return n, err
}
