// Package activemodel keeps the active model version in memory between requests and follows the pointer when it moves.
package activemodel

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

// Cache holds the model of the version that was active last.
type Cache struct {
	store  *vectorstore.Store
	shop   *dataset.Dataset
	mu     sync.Mutex // one reader loads a new version, the others wait for it
	active atomic.Pointer[Model]
}

// New returns an empty cache of models that answer by the shop's rules.
func New(store *vectorstore.Store, shop *dataset.Dataset) *Cache {
	return &Cache{store: store, shop: shop}
}

// Model is a version in memory. Users finds its users by id in one round trip to the database; one that the model does not know is absent.
type Model struct {
	*recommend.Model
	Users func(ctx context.Context, ids []string) (map[string]*recommend.User, error)

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
	if last := c.active.Load(); last != nil && last.reference == now {
		return last, nil
	}
	m, err := c.read(ctx, now)
	if err != nil {
		return nil, err
	}
	c.active.Store(m)
	return m, nil
}

// Last is the version that Active returned last, without asking the database; nil if there was none.
func (c *Cache) Last() *recommend.Model {
	if last := c.active.Load(); last != nil {
		return last.Model
	}
	return nil
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
	rules := c.shop.Recommendations
	items, err := c.store.Items(ctx, now, rules.InStock, rules.PerCategory.Column)
	if err != nil {
		return nil, err
	}
	catalog := recommend.Catalog{
		IDs: items.IDs, Names: items.Names, Embeddings: items.Embeddings, Bias: items.Bias, Stock: items.Stock, Category: items.Category,
	}
	if encoder.Blend > 0 {
		if catalog.Together, err = c.store.Cooccurrences(ctx, now, len(items.IDs)); err != nil {
			return nil, err
		}
	}
	m, err := recommend.NewModel(now.Version, encoder, catalog, c.shop)
	if err != nil {
		return nil, err
	}
	users := func(ctx context.Context, ids []string) (map[string]*recommend.User, error) {
		return c.users(ctx, now, ids)
	}
	return &Model{Model: m, Users: users, reference: now}, nil
}

func (c *Cache) users(ctx context.Context, of vectorstore.Reference, ids []string) (map[string]*recommend.User, error) {
	found, err := c.store.Users(ctx, of, ids)
	if err != nil {
		return nil, err
	}
	users := make(map[string]*recommend.User, len(found))
	for id, u := range found {
		users[id] = &recommend.User{Embedding: u.Embedding, Cold: u.Cold, Bought: u.Bought}
	}
	return users, nil
}
