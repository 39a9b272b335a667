// Package vectorsearch answers from a model version whose items stay in the database: pgvector proposes items for each request, and the
// same code that answers from memory answers from those.
//
// With an exact search (a table without HNSW index) the answers are those from memory; of many items with equal scores others may be
// chosen, and scores differ by rounding. An HNSW index may miss items that belong into a list; what it proposes is ranked
// exactly, obeys every rule, and a list that would be too short is searched for again, exhaustively.
package vectorsearch

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

const (
	// Of so many candidates for each item asked for, a bound on categories rarely leaves too few.
	candidates = 8
	// So many similar items more than asked for: the seed itself, and equals of the last one, of which the whole's order chooses.
	spare = 8
	// popularItems are kept in memory: what is recommended to nobody in particular, and what is left when the database is down.
	popularItems = 500
)

// Model is a version whose items are in the database. It is safe for concurrent use.
type Model struct {
	store     *vectorstore.Store
	reference vectorstore.Reference
	columns   vectorstore.Columns
	atMost    int // of a category in a list; 0 is no bound
	blend     bool
	items     int64
	popular   []vectorstore.Item
	base      *recommend.Model // over popular
}

// Read prepares a version of so many items. It holds the encoder and some items in memory, whatever the size of the version.
func Read(ctx context.Context, store *vectorstore.Store, r vectorstore.Reference, items int64, encoder *features.Encoder, shop *dataset.Dataset) (*Model, error) {
	rules := shop.Recommendations
	m := &Model{
		store: store, reference: r, columns: vectorstore.Columns{Stock: rules.InStock, Category: rules.PerCategory.Column},
		atMost: rules.PerCategory.AtMost, blend: encoder.Blend > 0, items: items,
	}
	found, err := store.Search(ctx, r, m.columns, []vectorstore.Search{{Candidates: popularItems}}, true)
	if err != nil {
		return nil, err
	}
	if m.popular = found[0].Candidates; len(m.popular) == 0 { // nothing is in stock
		without := vectorstore.Columns{Category: m.columns.Category}
		if found, err = store.Search(ctx, r, without, []vectorstore.Search{{Candidates: popularItems}}, true); err != nil {
			return nil, err
		}
		m.popular = found[0].Candidates
		for k := range m.popular {
			m.popular[k].Stock = "0"
		}
	}
	catalog, err := m.catalog(part{}.with(m.popular))
	if err != nil {
		return nil, err
	}
	m.base, err = recommend.NewModel(r.Version, encoder, catalog, shop)
	return m, err
}

// part is some of the version's items by ordinal, with what they co-occur with.
type part struct {
	items    map[int32]vectorstore.Item
	together map[int32]vectorstore.Neighbours
}

func (p part) with(lists ...[]vectorstore.Item) part {
	if p.items == nil {
		p.items = map[int32]vectorstore.Item{}
	}
	for _, list := range lists {
		for _, i := range list {
			p.items[i.Ordinal] = i
		}
	}
	return p
}

// catalog brings a part into the order of the whole, so that equal scores order alike.
func (m *Model) catalog(p part) (recommend.Catalog, error) {
	var c recommend.Catalog
	c.Ordinals = slices.Sorted(maps.Keys(p.items))
	row := make(map[int32]int32, len(c.Ordinals))
	for n, ordinal := range c.Ordinals {
		row[ordinal] = int32(n)
		i := p.items[ordinal]
		c.IDs, c.Names, c.Bias, c.Embeddings = append(c.IDs, i.ID), append(c.Names, i.Name), append(c.Bias, i.Bias), append(c.Embeddings, i.Embedding...)
		if m.columns.Stock != "" {
			c.Stock = append(c.Stock, i.Stock)
		}
		if m.columns.Category != "" {
			c.Category = append(c.Category, i.Category)
		}
	}
	if !m.blend {
		return c, nil
	}
	c.Together = &cooccurrence.Table{}
	for _, ordinal := range c.Ordinals {
		var others []int32
		var strengths []float32
		of := p.together[ordinal]
		for k, other := range of.Others {
			if n, present := row[other]; present {
				others, strengths = append(others, n), append(strengths, of.Strengths[k])
			}
		}
		if err := c.Together.Append(others, strengths); err != nil {
			return c, fmt.Errorf("model %s: %w", m.reference.Version, err)
		}
	}
	return c, nil
}

// over is the version over a part of its items.
func (m *Model) over(p part) (*recommend.Model, error) {
	if len(p.items) == 0 {
		return m.base, nil // which has none of them either
	}
	catalog, err := m.catalog(p)
	if err != nil {
		return nil, err
	}
	return m.base.Over(catalog)
}

// Answers recommends to several users. It asks the database twice, however many they are: for the items of their sessions, and for what suits
// them; and a third time if lists would be too short.
func (m *Model) Answers(ctx context.Context, requests []recommend.Request) ([]recommend.Answer, error) {
	known, err := m.sessions(ctx, requests)
	if err != nil {
		return nil, err
	}
	model, err := m.over(known)
	if err != nil {
		return nil, err
	}
	queries, err := model.Queries(requests)
	if err != nil {
		return nil, err
	}
	searches := make([]vectorstore.Search, len(queries))
	for n, q := range queries {
		searches[n] = vectorstore.Search{
			Vector: q.Vector, Hidden: q.Hidden, Candidates: max(1, candidates*requests[n].Limit), Seed: q.Seed, Similar: requests[n].Limit + spare,
		}
		if q.Vector == nil {
			known = known.with(m.popular)
		}
	}
	found, err := m.store.Search(ctx, m.reference, m.columns, searches, false)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		known = known.with(f.Candidates, f.Similar)
	}
	answers, err := m.answer(known, requests)
	if err != nil {
		return nil, err
	}
	short := m.short(requests, searches, found, answers)
	if len(short) == 0 {
		return answers, nil
	}
	again := make([]vectorstore.Search, len(short))
	for k, n := range short {
		again[k] = searches[n]
		again[k].Candidates, again[k].PerCategory = requests[n].Limit, m.atMost
	}
	if found, err = m.store.Search(ctx, m.reference, m.columns, again, true); err != nil {
		return nil, err
	}
	for _, f := range found {
		known = known.with(f.Candidates, f.Similar)
	}
	return m.answer(known, requests)
}

func (m *Model) answer(p part, requests []recommend.Request) ([]recommend.Answer, error) {
	model, err := m.over(p)
	if err != nil {
		return nil, err
	}
	return model.Answers(requests)
}

// sessions reads the items of histories, and what they co-occur with.
func (m *Model) sessions(ctx context.Context, requests []recommend.Request) (part, error) {
	ids := map[string]bool{}
	for _, r := range requests {
		for _, e := range r.History {
			ids[e.Item] = true
		}
	}
	if len(ids) == 0 {
		return part{}, nil
	}
	found, neighbours, err := m.store.ItemsByID(ctx, m.reference, m.columns, slices.Sorted(maps.Keys(ids)), m.blend)
	if err != nil {
		return part{}, err
	}
	p := part{together: map[int32]vectorstore.Neighbours{}}.with(found)
	for _, n := range neighbours {
		p.together[n.Item] = n
	}
	return p, nil
}

// short are the positions of the requests to which better items than the candidates may belong: lists that are not full, and those that a
// bound on categories filled with items that rank behind the last candidate.
func (m *Model) short(requests []recommend.Request, searches []vectorstore.Search, found []vectorstore.Found, answers []recommend.Answer) (short []int) {
	for n, q := range searches {
		list, limit := answers[n].Items, requests[n].Limit
		full := len(list) == limit
		cut := len(found[n].Candidates) == q.Candidates
		behind := false
		if full && cut && m.atMost > 0 && limit > 0 {
			last := found[n].Candidates[0]
			worst := score(q, last)
			for _, i := range found[n].Candidates[1:] {
				worst = min(worst, score(q, i))
			}
			behind = list[limit-1].Score < worst
		}
		everything := int64(limit) >= m.items // there are no more to be found
		if !full && !everything || behind || len(answers[n].Similar) < limit && !everything {
			short = append(short, n)
		}
	}
	return short
}

// score is what the database ordered by.
func score(q vectorstore.Search, i vectorstore.Item) (sum float32) {
	if q.Vector == nil {
		return i.Bias
	}
	for k, x := range q.Vector {
		sum += x * i.Embedding[k]
	}
	return sum
}

// Similar returns the items nearest to one, without those sold out, and its name; false if the model does not know it.
func (m *Model) Similar(ctx context.Context, id string, limit int) (name string, list []recommend.Near, known bool, err error) {
	found, _, err := m.store.ItemsByID(ctx, m.reference, m.columns, []string{id}, false)
	if err != nil || len(found) == 0 {
		return "", nil, false, err
	}
	p := part{}.with(found)
	for _, exhaustive := range []bool{false, true} {
		nearest, err := m.store.Search(ctx, m.reference, m.columns, []vectorstore.Search{{Seed: id, Similar: limit + spare, Candidates: 1}}, exhaustive)
		if err != nil {
			return "", nil, false, err
		}
		model, err := m.over(p.with(nearest[0].Similar))
		if err != nil {
			return "", nil, false, err
		}
		if list, _ = model.Similar(id, limit); len(list) == limit || int64(limit) >= m.items {
			break
		}
	}
	return found[0].Name, list, true, nil
}

// Popular answers without the database.
func (m *Model) Popular(requests []recommend.Request) []recommend.Answer {
	return m.base.Popular(requests)
}

// AtOnce is how many requests are best answered together: all of a batch, which is one round trip.
func (m *Model) AtOnce() int { return 500 }
