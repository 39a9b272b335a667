// Package activemodel keeps the model versions that serve in memory between requests, and follows the pointer and the experiment.
package activemodel

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorsearch"
	"github.com/millrace/millrace/shared/vectorstore"
)

// Cache holds the models of the versions that served last.
type Cache struct {
	store  *vectorstore.Store
	shop   *dataset.Dataset
	budget int64
	mu     sync.Mutex // one reader loads a new version, the others wait for it
	last   atomic.Pointer[Serving]
}

// New returns an empty cache of models that answer by the shop's rules. A version that takes more memory than the budget stays in the
// database and is searched there.
func New(store *vectorstore.Store, shop *dataset.Dataset, budget int64) *Cache {
	return &Cache{store: store, shop: shop, budget: budget}
}

// Model is a version that answers. Users finds its users by id in one round trip to the database; one that the model does not know is absent.
type Model struct {
	Answerer
	Version string
	Users   func(ctx context.Context, ids []string) (map[string]*recommend.User, error)
}

// Records answers events. itemField is the dataset's name of an item in an event.
func (m *Model) Records(ctx context.Context, itemField string, events []recommend.Event, now time.Time) ([]recommend.Record, error) {
	answers, err := m.Answers(ctx, recommend.Requests(events))
	if err != nil {
		return nil, err
	}
	return recommend.Records(m.Version, itemField, events, answers, now)
}

// read chooses where a version's items are: in memory, if they fit.
func (c *Cache) read(ctx context.Context, now vectorstore.Reference, budget int64) (*Model, error) {
	items, err := c.store.ItemCount(ctx, now)
	if err != nil {
		return nil, err
	}
	encoder, err := c.encoder(ctx, now)
	if err != nil {
		return nil, err
	}
	needed := Need(items, now.Dimension, encoder.Blend > 0)
	m := &Model{Version: now.Version, Users: func(ctx context.Context, ids []string) (map[string]*recommend.User, error) {
		return c.users(ctx, now, ids)
	}}
	in := "memory"
	if needed > budget {
		in = "database"
		m.Answerer, err = vectorsearch.Read(ctx, c.store, now, items, encoder, c.shop)
	} else {
		m.Answerer, err = c.intoMemory(ctx, now, encoder)
	}
	if err != nil {
		return nil, err
	}
	slog.InfoContext(ctx, "model read", "version", now.Version, "items", items, "dimension", now.Dimension, "searched_in", in,
		"needs_mib", needed>>20, "budget_mib", budget>>20)
	return m, nil
}

func (c *Cache) encoder(ctx context.Context, now vectorstore.Reference) (*features.Encoder, error) {
	text, err := c.store.Encoder(ctx, now)
	if err != nil {
		return nil, err
	}
	encoder, err := features.ReadEncoder(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("model %s in the database: %w", now.Version, err)
	}
	return encoder, nil
}

func (c *Cache) intoMemory(ctx context.Context, now vectorstore.Reference, encoder *features.Encoder) (Answerer, error) {
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
	return InMemory(m), nil
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
