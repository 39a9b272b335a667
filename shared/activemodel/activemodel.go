// Package activemodel keeps the active model version in memory between requests and follows the pointer when it moves.
package activemodel

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

// Cache holds the model of the version that was active last.
type Cache struct {
	store  *vectorstore.Store
	mu     sync.Mutex // one reader loads a new version, the others wait for it
	active *Model
}

// New returns an empty cache.
func New(store *vectorstore.Store) *Cache { return &Cache{store: store} }

// Model is a version in memory, with its users in the database.
type Model struct {
	*recommend.Model
	store     *vectorstore.Store
	reference vectorstore.Reference
}

// Active resolves the pointer, in one short query, and reads the version if it is new. Whoever asks once for a batch
// answers all of it from one version. Errors: vectorstore.ErrNoModel.
func (c *Cache) Active(ctx context.Context) (*Model, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.store.Active(ctx)
	if err != nil {
		return nil, err
	}
	if c.active != nil && c.active.reference == now {
		return c.active, nil
	}
	m, err := c.read(ctx, now)
	if err != nil {
		return nil, err
	}
	c.active = m
	return m, nil
}

func (c *Cache) read(ctx context.Context, now vectorstore.Reference) (*Model, error) {
	text, err := c.store.Encoder(ctx, now)
	if err != nil {
		return nil, err
	}
	encoder, err := features.ReadEncoder(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("model %s in the database: %w", now.Version, err)
	}
	items, err := c.store.Items(ctx, now)
	if err != nil {
		return nil, err
	}
	m, err := recommend.NewModel(now.Version, encoder, recommend.Catalog(items))
	if err != nil {
		return nil, err
	}
	return &Model{Model: m, store: c.store, reference: now}, nil
}

// Users finds users by id in one round trip; one that the model does not know is absent.
func (m *Model) Users(ctx context.Context, ids []string) (map[string]*recommend.User, error) {
	found, err := m.store.Users(ctx, m.reference, ids)
	if err != nil {
		return nil, err
	}
	users := make(map[string]*recommend.User, len(found))
	for id, u := range found {
		users[id] = &recommend.User{Embedding: u.Embedding, Cold: u.Cold}
	}
	return users, nil
}
