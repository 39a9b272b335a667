package model

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
)

// Artifact is a published model. Every method verifies the bytes it reads against the manifest: lake.ErrStale if they differ.
type Artifact struct {
	Manifest lake.ModelManifest
	Marker   lake.Parent // the manifest by key and content

	store lake.Store
	files map[string]lake.File
}

// Open reads a manifest. It refuses one that does not list every file of an artifact or whose figures make no sense.
func Open(ctx context.Context, s lake.Store, manifestKey string) (*Artifact, error) {
	manifest, marker, err := lake.ReadMarker[lake.ModelManifest](ctx, s, manifestKey, lake.ModelFormat)
	if err != nil {
		return nil, err
	}
	a := &Artifact{Manifest: manifest, Marker: marker, store: s, files: map[string]lake.File{}}
	if err := checkManifest(manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", manifestKey, err)
	}
	dir := path.Dir(manifestKey)
	for _, f := range manifest.Files {
		if dir == "." && path.Dir(f.Key)+"/" == lake.ModelDir(manifest.Version) {
			f.Key = path.Base(f.Key) // copied out of the lake
		}
		if path.Dir(f.Key) != dir {
			return nil, fmt.Errorf("manifest %s lists %s, which is not beside it", manifestKey, f.Key)
		}
		if a.Has(path.Base(f.Key)) {
			return nil, fmt.Errorf("manifest %s lists %s twice", manifestKey, f.Key)
		}
		a.files[path.Base(f.Key)] = f
	}
	if err := a.checkFiles(); err != nil {
		return nil, fmt.Errorf("manifest %s %w", manifestKey, err)
	}
	return a, nil
}

// maxVersion bounds a version's name, in bytes; ours have 25.
const maxVersion = 128

// checkManifest looks at what a manifest says of the whole.
func checkManifest(m lake.ModelManifest) error {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case m.Version == "" || len(m.Version) > maxVersion || strings.Contains(m.Version, "/") || strings.ContainsFunc(m.Version, unprintable) || m.Version == "..":
		return fmt.Errorf("version %.40q: want a name of at most %d bytes without slashes", m.Version, maxVersion)
	case m.Dimension < 1:
		return fmt.Errorf("dimension %d: want at least 1", m.Dimension)
	case m.Distance != InnerProduct:
		return fmt.Errorf("distance %q: want %s", m.Distance, InnerProduct)
	case m.State != lake.Candidate && m.State != lake.Rejected:
		return fmt.Errorf("state %q is neither %s nor %s", m.State, lake.Candidate, lake.Rejected)
	}
	return nil
}

// checkFiles wants every file of a model of ours, or a table of items from elsewhere, which may do without the others.
func (a *Artifact) checkFiles() error {
	if a.Has(ItemsCSV) {
		for _, name := range []string{ItemsFile, UsersFile, InteractionsFile, CooccurrencesFile} {
			if a.Has(name) {
				return fmt.Errorf("lists %s and %s: of tables from elsewhere there are only %s and %s", ItemsCSV, name, ItemsCSV, UsersCSV)
			}
		}
		return nil
	}
	for _, name := range []string{ItemsFile, UsersFile, EncoderFile, MetricsFile} {
		if !a.Has(name) {
			return fmt.Errorf("lists no %s (and no %s)", name, ItemsCSV)
		}
	}
	return nil
}

// Encoder reads encoder.json, or derives what serving needs from the embeddings of an artifact from elsewhere.
func (a *Artifact) Encoder(ctx context.Context) (*features.Encoder, error) {
	if !a.Has(EncoderFile) {
		return a.derivedEncoder(ctx)
	}
	text, err := lake.ReadFile(ctx, a.store, a.files[EncoderFile])
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", a.Manifest.Version, err)
	}
	e, err := features.ReadEncoder(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", a.Manifest.Version, err)
	}
	if e.Version != a.Manifest.Version || e.Dimension != a.Manifest.Dimension {
		return nil, fmt.Errorf("model %s: encoder.json is that of %s with dimension %d", a.Manifest.Version, e.Version, e.Dimension)
	}
	return e, nil
}

// Metrics reads metrics.json.
func (a *Artifact) Metrics(ctx context.Context) (Metrics, error) {
	var m Metrics
	text, err := lake.ReadFile(ctx, a.store, a.files[MetricsFile])
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return Metrics{}, fmt.Errorf("model %s: %s: %w", a.Manifest.Version, MetricsFile, err)
	}
	return m, nil
}

// Items gives the items, ascending by id. A pair with an error is the last.
func (a *Artifact) Items(ctx context.Context) iter.Seq2[Entity, error] {
	if a.Has(ItemsCSV) {
		return a.entities(ItemsCSV, a.textEntities(ctx, ItemsCSV), a.Manifest.Counts.Items)
	}
	return a.entities(ItemsFile, a.tableEntities(ctx, ItemsFile), a.Manifest.Counts.Items)
}

// Users gives the users, ascending by id. A pair with an error is the last.
func (a *Artifact) Users(ctx context.Context) iter.Seq2[Entity, error] {
	switch {
	case a.Has(UsersCSV):
		return a.entities(UsersCSV, a.textEntities(ctx, UsersCSV), a.Manifest.Counts.Users)
	case a.Has(UsersFile):
		return a.entities(UsersFile, a.tableEntities(ctx, UsersFile), a.Manifest.Counts.Users)
	}
	return a.entities(UsersCSV, func(func(Entity, error) bool) {}, a.Manifest.Counts.Users)
}

func sortByKey(files []lake.File) {
	slices.SortFunc(files, func(a, b lake.File) int { return cmp.Compare(a.Key, b.Key) })
}

// entities passes a table's rows on, checking each as it goes.
func (a *Artifact) entities(name string, rows iter.Seq2[Entity, error], count int64) iter.Seq2[Entity, error] {
	return func(yield func(Entity, error) bool) {
		fail := func(err error) { yield(Entity{}, fmt.Errorf("model %s: %s: %w", a.Manifest.Version, name, err)) }
		last, n := "", int64(0)
		for e, err := range rows {
			if err == nil {
				err = e.check(last, a.Manifest.Dimension)
			}
			if err != nil {
				fail(err)
				return
			}
			if !yield(e, nil) {
				return
			}
			last, n = e.ID, n+1
		}
		if n != count {
			fail(fmt.Errorf("%d rows, the manifest counts %d", n, count))
		}
	}
}

func (a *Artifact) tableEntities(ctx context.Context, name string) iter.Seq2[Entity, error] {
	return func(yield func(Entity, error) bool) {
		for row, err := range laketable.Screened(ctx, a.store, a.files[name], EntityColumns()) {
			var e Entity
			if err == nil {
				e, err = entity(row)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Pair is a row of interactions.parquet.
type Pair struct {
	User, Item string
	Weight     float32
}

// Interactions gives what the model was trained on, ascending by user and item; nothing if the artifact does not say.
// A pair with an error is the last.
func (a *Artifact) Interactions(ctx context.Context) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		f, listed := a.files[InteractionsFile]
		if !listed {
			return
		}
		for row, err := range laketable.Screened(ctx, a.store, f, SeenColumns()) {
			if err != nil {
				yield(Pair{}, fmt.Errorf("model %s: %s: %w", a.Manifest.Version, InteractionsFile, err))
				return
			}
			if !yield(Pair{User: string(row[0].Bytes), Item: string(row[1].Bytes), Weight: float32(row[2].Float)}, nil) {
				return
			}
		}
	}
}
