package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/rowbatch"
	"github.com/millrace/millrace/shared/schema"
)

// watch sums the rows on their way where that is asked for. In the good case it is not: the rows read back from the published
// files are compared with the manifest, and what lies between is looked at only to say where a difference began.
type watch struct {
	cols    []schema.Column
	files   sums // of what is read; nil: not asked for
	curated sums // of what is handed to the Parquet writer; nil: not asked for
	disturb disturb
}

// sums are checksums by the key of a file.
type sums map[string]*rowbatch.Checksum

// disturb changes rows between two stages. Only tests have one.
type disturb struct{ beforeSort, beforeEncode func(*rowbatch.Batch) }

func (w *watch) restart() {
	clear(w.files)
	clear(w.curated)
}

// read is called with each batch of a landed file.
func (w *watch) read(f *lake.File, b *rowbatch.Batch) error {
	if w.files != nil {
		w.files.add(f.Key, w.cols, b)
	}
	if w.disturb.beforeSort != nil {
		w.disturb.beforeSort(b)
	}
	return nil
}

// readEnd is called after a file's last row.
func (w *watch) readEnd(f *lake.File) {
	if w.files != nil && w.files[f.Key] == nil {
		w.files[f.Key] = rowbatch.NewChecksum(w.cols) // it has no rows
	}
}

// merged is called with rows in their final order.
func (w *watch) merged(key string, b *rowbatch.Batch, from, to int) error {
	if w.curated == nil && w.disturb.beforeEncode == nil {
		return nil
	}
	if w.curated != nil {
		rows := rowbatch.New(w.cols)
		rows.AppendRange(b, from, to)
		w.curated.add(key, w.cols, rows)
	}
	if w.disturb.beforeEncode != nil {
		w.disturb.beforeEncode(b)
	}
	return nil
}

func (s sums) add(key string, cols []schema.Column, b *rowbatch.Batch) {
	if s[key] == nil {
		s[key] = rowbatch.NewChecksum(cols)
	}
	s[key].Add(b)
}

func (s sums) total() (sum checksum.Sum) {
	for _, one := range s {
		sum = sum.Plus(one.Sum())
	}
	return sum
}

// blame reads the landed files again, sorts and encodes them again without publishing anything, and says which stage changed
// the rows of which file. got are the files that were published, with the checksums of what was read back.
func blame(ctx context.Context, s lake.Store, t *table, o Options, got []lake.File, sum checksum.Sum) error {
	w := &watch{cols: t.columns, files: sums{}, curated: sums{}, disturb: o.disturb}
	if _, _, err := curate(ctx, s, nil, t, o.Limits, w); err != nil {
		return err
	}
	var found []error
	for _, f := range t.manifest.Files {
		if there := w.files[f.Key].Sum(); there != f.Checksum {
			found = append(found, fmt.Errorf("file %s: the manifest says %s, it holds %s: extract the run again", f.Key, f.Checksum, there))
		}
	}
	if found != nil {
		return errors.Join(found...)
	}
	want := t.manifest.Checksum
	if there := w.curated.total(); there != want {
		return fmt.Errorf("sorting changed the rows: %s were read, %s came out: %w", want, there, errMachine)
	}
	for _, f := range got {
		if there := w.curated[f.Key].Sum(); there != f.Checksum {
			found = append(found, fmt.Errorf("file %s: the Parquet writer was given %s, the reader reads back %s: %w", f.Key, there, f.Checksum, errMachine))
		}
	}
	if found != nil {
		return errors.Join(found...)
	}
	return fmt.Errorf("the manifest says %s, the Parquet files %s, and a second try found no stage that differs: %w", want, sum, errMachine)
}

var errMachine = errors.New("nothing is published; run it again, and if it happens again report it: it is a defect of millrace or of this machine's memory")
