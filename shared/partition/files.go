package partition

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/scratch"
)

const (
	// Small files are a matter of the store's answers, of which many can be waited for; large ones of the local disk, on which
	// each lies twice: as it was written, and as it was read back.
	filesInFlight = 16
	bytesInFlight = 256 << 20
)

// files writes the curated files one after another; finished ones are uploaded, read back and summed beside.
type files struct {
	ctx     context.Context
	table   *table
	parts   *parts
	store   lake.Store
	limit   int64 // bytes of a file
	watch   *watch
	writer  *parquetwriter.Writer
	open    *file
	part    uint32
	numbers map[string]int // next file of each folder

	finishing *errgroup.Group
	room      *semaphore.Weighted
	reading   sync.Mutex // a file's row groups are read on all processors: one file at a time
	lock      sync.Mutex
	done      []lake.File
}

// file is one that is being written, on the local disk.
type file struct {
	*scratch.File
	key  string
	part uint32
	hash hash.Hash
	size int64
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.hash.Write(p[:n])
	f.size += int64(n)
	return n, err
}

func newFiles(ctx context.Context, s lake.Store, t *table, parts *parts, limit int64, w *watch) *files {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(filesInFlight)
	return &files{
		ctx: ctx, table: t, parts: parts, store: s, limit: limit, watch: w, numbers: map[string]int{},
		finishing: group, room: semaphore.NewWeighted(bytesInFlight),
	}
}

var _ emit = (*files)(nil).add

// add writes rows of one partition. NULL and the empty string share Hive's folder but not a file: each file's rows have
// exactly the partition values that the marker says.
func (w *files) add(part uint32, b *rowbatch.Batch, from, to int) error {
	if w.open != nil && (w.part != part || w.writer.Size() >= w.limit) {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if w.open == nil {
		if err := w.begin(part); err != nil {
			return err
		}
	}
	if err := w.watch.merged(w.open.key, b, from, to); err != nil {
		return err
	}
	if err := w.writer.AppendRange(b, from, to); err != nil {
		return fmt.Errorf("file %s: %w", w.open.key, err)
	}
	return nil
}

func (w *files) begin(part uint32) error {
	folder := w.parts.all[part].folder
	local, err := scratch.New()
	if err != nil {
		return err
	}
	w.part = part
	w.open = &file{
		File: local, part: part, hash: sha256.New(),
		key: lake.CuratedPart(w.table.manifest.Table, w.table.manifest.Run, folder, w.numbers[folder]),
	}
	w.numbers[folder]++
	if w.writer != nil {
		return w.writer.Begin(w.open)
	}
	if w.writer, err = parquetwriter.New(w.open, w.table.columns); err == nil {
		w.writer.SortedBy(w.table.key)
	}
	return err
}

// finish closes the open file and sends it on its way.
func (w *files) finish() error {
	f := w.open
	w.open = nil
	if err := w.writer.Close(); err != nil {
		return errors.Join(fmt.Errorf("file %s: %w", f.key, err), f.Close())
	}
	listed := lake.File{Key: f.key, Size: f.size, SHA256: hex.EncodeToString(f.hash.Sum(nil)), Partition: w.parts.all[f.part].values}
	if w.store == nil { // only what it would have been is asked for
		return f.Close()
	}
	taken := min(f.size, bytesInFlight)
	if err := w.room.Acquire(w.ctx, taken); err != nil {
		return errors.Join(context.Cause(w.ctx), f.Close())
	}
	w.finishing.Go(func() (err error) {
		defer w.room.Release(taken)
		if listed.Checksum, err = w.publish(f, listed); err != nil {
			return fmt.Errorf("file %s: %w", f.key, err)
		}
		listed.Rows = listed.Checksum.Rows
		w.lock.Lock()
		defer w.lock.Unlock()
		w.done = append(w.done, listed)
		return nil
	})
	return nil
}

// publish uploads a file and reads it back with the independent reader: what it returns was seen in the store.
func (w *files) publish(f *file, listed lake.File) (sum checksum.Sum, err error) {
	err = w.store.Put(w.ctx, f.key, io.NewSectionReader(f.File, 0, f.size))
	if err = errors.Join(err, f.Close()); err != nil {
		return sum, err
	}
	local, err := lake.Fetch(w.ctx, w.store, listed)
	if err != nil {
		return sum, fmt.Errorf("read back: %w", err)
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	w.reading.Lock()
	defer w.reading.Unlock()
	if sum, err = parquetfile.Checksum(local, listed.Size); err != nil {
		return sum, fmt.Errorf("read back: %w", err)
	}
	return sum, nil
}

// close finishes all files, and returns them by key with the checksum of all rows read back.
func (w *files) close() ([]lake.File, checksum.Sum, error) {
	var err error
	if w.open != nil {
		err = w.finish()
	}
	if err = errors.Join(err, w.finishing.Wait()); err != nil {
		return nil, checksum.Sum{}, err
	}
	slices.SortFunc(w.done, func(a, b lake.File) int { return cmp.Compare(a.Key, b.Key) })
	return w.done, listed(w.done), nil
}

// abandon ends the work without its result.
func (w *files) abandon() {
	if w.open != nil {
		_ = w.open.Close()
	}
	_ = w.finishing.Wait() // what they could say does not matter any more
}
