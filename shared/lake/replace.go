package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Replacement is a day of a table or training set: files under one folder, which a newer run
// replaces under the same keys, and a marker.
type Replacement[M Marker] struct {
	Dir, Key, Format string
	Run              Run
	Parents          []Parent
	// Same says whether a marker made from the same parents was also made with the same settings.
	Same func(M) bool
	// Files are what a marker lists.
	Files func(M) []File
	// Build writes the files made from these parents, the same bytes each time, and returns the marker.
	Build func(ctx context.Context, parents []Parent) (M, error)
}

// replaceAttempts bounds how often files that another run's clean-up removed are written again.
const replaceAttempts = 3

// Replace builds and publishes r, and removes what a replaced or broken-off run left in the
// folder, since queries read all of it. It reports false if this very publication was there
// already, with every file as the marker lists it; one that is missing or damaged is written again. For an older run that arrives late it returns ErrSuperseded; if the newer one
// came while it was building, it restores the newer one's files first.
func Replace[M Marker](ctx context.Context, s Store, r Replacement[M]) (marker M, published bool, err error) {
	for attempt := range replaceAttempts {
		current, _, err := ReadMarker[M](ctx, s, r.Key, r.Format)
		switch header := current.MarkerHeader(); {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return marker, false, err
		case header.Run > r.Run:
			return marker, false, fmt.Errorf("run %s: %w: %s", r.Run, ErrSuperseded, header.Run)
		case slices.Equal(header.Parents, r.Parents) && r.Same(current):
			complete, err := tidy(ctx, s, r.Dir, r.Key, r.Files(current))
			if err == nil && complete && attempt == 0 { // afterwards its files were read back by Build
				complete, err = intact(ctx, s, r.Files(current))
			}
			if err != nil {
				return marker, false, err
			} else if complete {
				return current, attempt > 0, nil
			}
		}
		if marker, err = r.Build(ctx, r.Parents); err != nil {
			return marker, false, err
		}
		_, err = Publish(ctx, s, r.Key, marker)
		if errors.Is(err, ErrSuperseded) {
			return marker, false, errors.Join(err, r.restore(ctx, s))
		} else if err != nil {
			return marker, false, err
		}
	}
	return marker, true, fmt.Errorf("%s: other runs of the day keep removing its files: run it again when they are finished", r.Key)
}

// restore writes the published run's files again, after an older run has overwritten some.
func (r Replacement[M]) restore(ctx context.Context, s Store) error {
	newer, _, err := ReadMarker[M](ctx, s, r.Key, r.Format)
	if err != nil {
		return err
	}
	if _, err = r.Build(ctx, newer.MarkerHeader().Parents); err != nil {
		return err
	}
	_, err = tidy(ctx, s, r.Dir, r.Key, r.Files(newer))
	return err
}

// intact reads what a marker lists and tells whether all of it has the recorded size and SHA-256.
func intact(ctx context.Context, s Store, files []File) (bool, error) {
	for _, f := range files {
		body, err := Open(ctx, s, f)
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			err = errors.Join(err, body.Close())
		}
		if errors.Is(err, ErrStale) || errors.Is(err, ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// tidy removes from the folder what the marker does not list, and tells whether all of what it
// lists is there.
func tidy(ctx context.Context, s Store, dir, markerKey string, files []File) (complete bool, err error) {
	keys, err := s.List(ctx, dir)
	if err != nil {
		return false, err
	}
	missing := map[string]bool{}
	for _, f := range files {
		missing[f.Key] = true
	}
	for _, key := range keys {
		if missing[key] {
			delete(missing, key)
		} else if key != markerKey {
			if err := s.Delete(ctx, key); err != nil {
				return false, err
			}
		}
	}
	return len(missing) == 0, nil
}
