package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// activeModelKey is no key of a manifest: no event is for it.
const activeModelKey = "models/_ACTIVE.json"

const activeModelFormat = "millrace/active/1"

// ModelRejection is the key of an object that says why the trainer rejected a version: its creation is the event for the operator.
func ModelRejection(version string) string { return ModelDir(version) + "_REJECTED.json" }

// ActiveModel says in the lake which version the database serves, for those who cannot ask the database.
type ActiveModel struct {
	Format   string    `json:"format"`
	Version  string    `json:"version"`
	Manifest Parent    `json:"manifest"`
	Since    time.Time `json:"since"`
	By       string    `json:"by,omitempty"` // who decided it, if that was a person
	Reason   string    `json:"reason"`
}

// ReadActiveModel returns ErrNotFound if no model was ever active.
func ReadActiveModel(ctx context.Context, s Store) (ActiveModel, error) {
	m, _, err := readActiveModel(ctx, s)
	return m, err
}

func readActiveModel(ctx context.Context, s Store) (m ActiveModel, etag string, err error) {
	body, etag, err := s.Get(ctx, activeModelKey)
	if err != nil {
		return m, "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Format != activeModelFormat {
		err = fmt.Errorf("format %q, want %q: written by another version of millrace", m.Format, activeModelFormat)
	}
	if err != nil {
		return m, "", fmt.Errorf("%s: %w", activeModelKey, err)
	}
	return m, etag, nil
}

// WriteActiveModel writes what active says now. Of several writers at once the last word is that of one who asked after all others
// had written. A version that stands there already stays as it is.
func WriteActiveModel(ctx context.Context, s Store, active func() (ActiveModel, error)) error {
	for {
		before, etag, err := readActiveModel(ctx, s)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		now, err := active()
		if err != nil {
			return err
		}
		now.Format = activeModelFormat
		if now.Version == before.Version && now.Since.Equal(before.Since) {
			return nil
		}
		text, err := json.MarshalIndent(now, "", "  ")
		if err != nil {
			return err
		}
		if err = s.PutIf(ctx, activeModelKey, text, etag); !errors.Is(err, ErrChanged) {
			return err
		}
	}
}
