package partition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/transform"
)

// table is what a manifest announces, with everything that follows from it.
type table struct {
	manifest *lake.RawManifest
	columns  []schema.Column
	key      []int
	by       []transform.Bound
	// unsummed: the manifest was written by hand and does not give all checksums.
	unsummed bool
}

// newTable completes a manifest that was written by hand, and finds what cannot be right before anything is written.
func newTable(ctx context.Context, s lake.Store, m *lake.RawManifest, o Options) (*table, error) {
	t := &table{manifest: m, unsummed: m.Checksum == (checksum.Sum{})}
	seen := map[string]bool{}
	for i := range m.Files {
		key := m.Files[i].Key
		if seen[key] {
			return nil, fmt.Errorf("file %s: the manifest lists it twice: list it once", key)
		}
		seen[key] = true
		if err := t.identify(ctx, s, &m.Files[i]); err != nil {
			return nil, fmt.Errorf("file %s: %w", m.Files[i].Key, err)
		}
	}
	if m.Source != (checksum.Sum{}) && m.Checksum != m.Source {
		return nil, fmt.Errorf("its manifest: the database counted %s, but %s were written: extract the run again", m.Source, m.Checksum)
	}
	if sum := listed(m.Files); !t.unsummed && sum != m.Checksum {
		return nil, fmt.Errorf("its manifest says %s, but its files add up to %s: extract the run again", m.Checksum, sum)
	}
	if err := t.findColumns(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if t.key, err = schema.Positions(t.columns, m.Key); err != nil {
		return nil, fmt.Errorf("key of the manifest: %w", err)
	}
	by, err := o.transforms(t.columns)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w: %s", m.Table, err, o.remedy())
	}
	for _, one := range by {
		bound, err := one.Bind(t.columns)
		if err != nil {
			return nil, fmt.Errorf("partition column %s.%w: %s", m.Table, err, o.remedy())
		}
		t.by = append(t.by, bound)
	}
	return t, nil
}

// listed is the checksum of all files as they are listed.
func listed(files []lake.File) (sum checksum.Sum) {
	for _, f := range files {
		sum = sum.Plus(f.Checksum)
	}
	return sum
}

func (t *table) transforms() (all []transform.Transform) {
	for _, b := range t.by {
		all = append(all, b.Transform)
	}
	return all
}

// identify fills in a file's size and SHA-256 where the manifest does not give them.
func (t *table) identify(ctx context.Context, s lake.Store, f *lake.File) (err error) {
	if dir := lake.RawDir(t.manifest.Table, t.manifest.Run); !strings.HasPrefix(f.Key, dir) || strings.Contains(f.Key, "..") {
		return fmt.Errorf("it is not below %s, where the files of this manifest belong: move it there", dir)
	}
	if f.Checksum == (checksum.Sum{}) {
		t.unsummed = true
	}
	if f.SHA256 != "" && f.Size != 0 {
		return nil
	}
	body, _, err := s.Get(ctx, f.Key)
	if err != nil {
		return missing(err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	hash := sha256.New()
	size, err := io.Copy(hash, body)
	if err != nil {
		return err
	}
	found := hex.EncodeToString(hash.Sum(nil))
	if f.Size != 0 && f.Size != size {
		return fmt.Errorf("the manifest says %d bytes, it has %d: correct the manifest, or leave the size out", f.Size, size)
	}
	if f.SHA256 != "" && f.SHA256 != found {
		return fmt.Errorf("the manifest says sha256 %s, it has %s: correct the manifest, or leave it out", f.SHA256, found)
	}
	f.Size, f.SHA256 = size, found
	return nil
}

// findColumns takes the manifest's columns, or those of the first file.
func (t *table) findColumns(ctx context.Context, s lake.Store) error {
	if t.columns = t.manifest.Columns; t.columns != nil {
		return nil
	}
	if len(t.manifest.Files) == 0 {
		return errors.New("its manifest lists neither columns nor files: list the files of the table")
	}
	f := t.manifest.Files[0]
	err := openLanded(ctx, s, f, func(file batches) error {
		t.columns = file.Columns()
		return nil
	})
	if err != nil {
		return fmt.Errorf("file %s: %w", f.Key, err)
	}
	return nil
}

// settle compares what was read with what the manifest gives, and fills in the rest, after all files were read.
func (t *table) settle(w *watch) error {
	if !t.unsummed {
		return nil
	}
	var sum checksum.Sum
	for i := range t.manifest.Files {
		f := &t.manifest.Files[i]
		read := w.files[f.Key].Sum()
		switch {
		case f.Checksum != (checksum.Sum{}) && f.Checksum != read:
			return fmt.Errorf("file %s: the manifest says %s, it holds %s: correct the manifest, or leave the checksum out", f.Key, f.Checksum, read)
		case f.Rows != 0 && f.Rows != read.Rows:
			return fmt.Errorf("file %s: the manifest says %d rows, it holds %d: correct the manifest, or leave the rows out", f.Key, f.Rows, read.Rows)
		}
		f.Rows, f.Checksum = read.Rows, read
		sum = sum.Plus(read)
	}
	m := t.manifest
	switch {
	case m.Checksum != (checksum.Sum{}) && m.Checksum != sum:
		return fmt.Errorf("the manifest says %s, its files hold %s: correct the manifest, or leave the checksum out", m.Checksum, sum)
	case m.Rows != 0 && m.Rows != sum.Rows:
		return fmt.Errorf("the manifest says %d rows, its files hold %d: correct the manifest, or leave the rows out", m.Rows, sum.Rows)
	}
	m.Rows, m.Checksum = sum.Rows, sum
	return nil
}
