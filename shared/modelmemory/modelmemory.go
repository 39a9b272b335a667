// Package modelmemory reads an artifact into memory, whole, so that it answers without a database: for a terminal and for comparisons.
package modelmemory

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/recommend"
)

// Model is an artifact in memory with its users.
type Model struct {
	*recommend.Model
	users map[string]*recommend.User
}

// User is a user of the model; nil if the model has none of that id.
func (m *Model) User(id string) *recommend.User { return m.users[id] }

// Read reads and verifies an artifact. It answers by the shop's rules. Memory: (items + users) × (4·d + about 100) bytes and 4 bytes for each
// interaction.
func Read(ctx context.Context, a *model.Artifact, shop *dataset.Dataset) (*Model, error) {
	encoder, err := a.Encoder(ctx)
	if err != nil {
		return nil, err
	}
	var c recommend.Catalog
	number := map[string]int32{}
	rules := shop.Recommendations
	for e, err := range a.Items(ctx) {
		if err != nil {
			return nil, err
		}
		number[e.ID] = int32(len(number))
		c.IDs, c.Names = append(c.IDs, e.ID), append(c.Names, e.Name)
		c.Embeddings, c.Bias = append(c.Embeddings, e.Embedding...), append(c.Bias, e.Bias)
		if rules.InStock != "" {
			c.Stock = append(c.Stock, e.Features[rules.InStock])
		}
		if rules.PerCategory.Column != "" {
			c.Category = append(c.Category, e.Features[rules.PerCategory.Column])
		}
	}
	if c.Together, err = a.Cooccurrences(ctx, number); err != nil {
		return nil, err
	}
	users := map[string]*recommend.User{}
	for e, err := range a.Users(ctx) {
		if err != nil {
			return nil, err
		}
		users[e.ID] = &recommend.User{Embedding: e.Embedding, Cold: e.Cold}
	}
	for pair, err := range a.Interactions(ctx) {
		if err != nil {
			return nil, err
		}
		n, known := number[pair.Item]
		if !known {
			return nil, fmt.Errorf("model %s: %s names item %q, which the model does not have", a.Manifest.Version, model.InteractionsFile, pair.Item)
		}
		if user := users[pair.User]; user != nil { // sessions are no users
			user.Bought = append(user.Bought, n)
		}
	}
	for _, user := range users {
		slices.Sort(user.Bought)
	}
	m, err := recommend.NewModel(a.Manifest.Version, encoder, c, shop)
	return &Model{m, users}, err
}
