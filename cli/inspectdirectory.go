package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// inspectedDirectory is a directory that takes the place of the lake's bucket, or a model's artifact.
type inspectedDirectory struct {
	Directory string            `json:"directory"`
	Markers   []inspectedMarker `json:"markers"`
}

// inspectedMarker is a publication and the state of what it lists.
type inspectedMarker struct {
	Marker  string       `json:"marker"`
	Problem string       `json:"problem,omitempty"` // why it cannot be read; then there is nothing else
	Files   []listedFile `json:"files"`
	Lineage lake.Lineage `json:"lineage"`
}

// listedFile is an object that a marker lists.
type listedFile struct {
	Key   string    `json:"key"`
	Size  int64     `json:"size"` // recorded, as are the rows
	Rows  int64     `json:"rows"`
	State fileState `json:"state"`
}

type fileState string

const (
	fileIntact  fileState = "intact"
	fileChanged fileState = "changed" // size or SHA-256 are not those recorded
	fileMissing fileState = "missing"
	fileFound   fileState = "found" // it is there; a manifest written by hand need not record what it was
)

func inspectDirectory(ctx context.Context, dir string, bar *bar) (inspectedDirectory, error) {
	d := inspectedDirectory{Directory: dir}
	store := lake.NewDirectory(dir)
	keys, err := store.List(ctx, "")
	if err != nil {
		return d, err
	}
	for _, key := range keys {
		if _, err := lake.Layer(key); err != nil && key != model.ManifestFile {
			continue
		}
		m, err := inspectMarker(ctx, store, key, bar)
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if errors.Is(err, fs.ErrPermission) { // which says nothing of what lies there
			return d, err
		}
		if err != nil {
			m = inspectedMarker{Marker: key, Problem: err.Error()}
		}
		d.Markers = append(d.Markers, m)
	}
	if d.Markers == nil {
		return d, fmt.Errorf("%s publishes nothing (%d files, no marker such as raw/<table>/dt=…/run=…/_MANIFEST.json or curated/<table>/dt=…/_SUCCESS): "+
			"name the directory that holds raw/ or curated/, or a model's", dir, len(keys))
	}
	return d, nil
}

func inspectMarker(ctx context.Context, s lake.Store, key string, bar *bar) (inspectedMarker, error) {
	m := inspectedMarker{Marker: key, Files: []listedFile{}}
	var err error
	if m.Lineage, err = lake.Trace(ctx, s, key); err != nil {
		return m, err
	}
	files, err := filesOf(ctx, s, key)
	if err != nil {
		return m, err
	}
	for _, f := range files {
		bar.step("%s", f.Key)
		state, err := stateOf(ctx, s, f)
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, listedFile{f.Key, f.Size, f.Rows, state})
	}
	return m, nil
}

// filesOf reads what any marker lists.
func filesOf(ctx context.Context, s lake.Store, key string) (_ []lake.File, err error) {
	body, _, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	var marker struct{ Files []lake.File }
	if err := json.NewDecoder(body).Decode(&marker); err != nil {
		return nil, fmt.Errorf("marker %s: %w", key, err)
	}
	return marker.Files, nil
}

// stateOf reads a file whole.
func stateOf(ctx context.Context, s lake.Store, f lake.File) (fileState, error) {
	if f.SHA256 == "" || f.Size == 0 {
		body, _, err := s.Get(ctx, f.Key)
		if errors.Is(err, lake.ErrNotFound) {
			return fileMissing, nil
		} else if err != nil {
			return "", err
		}
		return fileFound, body.Close()
	}
	body, err := lake.Open(ctx, s, f)
	if errors.Is(err, lake.ErrNotFound) {
		return fileMissing, nil
	} else if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, body)
	switch err := errors.Join(err, body.Close()); {
	case errors.Is(err, lake.ErrStale):
		return fileChanged, nil
	case err != nil:
		return "", err
	}
	return fileIntact, nil
}

func (d inspectedDirectory) print(w io.Writer) {
	for i, m := range d.Markers {
		if i > 0 {
			fmt.Fprintln(w)
		}
		m.print(w)
	}
}

func (m inspectedMarker) print(w io.Writer) {
	if m.Problem != "" {
		fmt.Fprintf(w, "%s\n  cannot be read: %s\n", m.Marker, m.Problem)
		return
	}
	n := m.Lineage
	fmt.Fprintf(w, "%s\n  %s, dataset %s", m.Marker, n.Header.Format, n.Header.Dataset)
	if n.Header.Run != "" {
		fmt.Fprintf(w, ", run %s", n.Header.Run)
	}
	if n.Rows > 0 {
		fmt.Fprintf(w, ", %s", plural(int(n.Rows), "row"))
	}
	if n.Server != "" {
		fmt.Fprintf(w, " from MySQL %s", n.Server)
	}
	fmt.Fprintln(w)
	for _, f := range m.Files {
		fmt.Fprintf(w, "  %-8s %s", f.State, f.Key)
		if f.State != fileFound {
			fmt.Fprintf(w, "  %d bytes", f.Size)
		}
		if f.Rows > 0 {
			fmt.Fprintf(w, ", %s", plural(int(f.Rows), "row"))
		}
		fmt.Fprintln(w)
	}
	for _, up := range n.Parents {
		printLineage(w, up, "  ")
	}
}

// damage names what is not as it was published.
func (d inspectedDirectory) damage() error {
	var found []string
	for _, m := range d.Markers {
		if m.Problem != "" {
			found = append(found, m.Marker+" cannot be read")
		}
		for _, f := range m.Files {
			if f.State != fileIntact && f.State != fileFound {
				found = append(found, fmt.Sprintf("%s is %s", f.Key, f.State))
			}
		}
	}
	if found == nil {
		return nil
	}
	if more := len(found) - shownFiles; more > 0 {
		found = append(found[:shownFiles], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s: not as it was published: %s; remove the marker that lists it and repeat the step that wrote it", d.Directory, strings.Join(found, ", "))
}

// shownFiles keep a message readable; all of them are in what is printed.
const shownFiles = 5
