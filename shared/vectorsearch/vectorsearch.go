// Package vectorsearch answers from a model version whose items stay in the database: pgvector proposes items for each request, and the
// same code that answers from memory answers from those.
//
// With an exact search (a table without HNSW index) the answers are those from memory; of many items with equal scores others may be
// chosen, and scores differ by rounding. An HNSW index may miss items that belong into a list; what it proposes is ranked
// exactly, obeys every rule, and a list that would be too short is searched for again, exhaustively.
package vectorsearch

import (
	"cmp"
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
	width     int // of searches
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
	var err error
	if m.width, err = store.SearchWidth(ctx, r); err != nil {
		return nil, err
	}
	found, err := store.Search(ctx, r, m.columns, []vectorstore.Search{{Candidates: popularItems}}, vectorstore.Exhaustive)
	if err != nil {
		return nil, err
	}
	if m.popular = found[0].Candidates; len(m.popular) == 0 { // nothing is in stock
		without := vectorstore.Columns{Category: m.columns.Category}
		if found, err = store.Search(ctx, r, without, []vectorstore.Search{{Candidates: popularItems}}, vectorstore.Exhaustive); err != nil {
			return nil, err
		}
		m.popular = found[0].Candidates
		for k := range m.popular {
			m.popular[k].Stock = "0"
		}
	}
	catalog, err := m.catalog(m.popular, nil)
	if err != nil {
		return nil, err
	}
	m.base, err = recommend.NewModel(r.Version, encoder, catalog, shop)
	return m, err
}

// over is the version over some of its items, given in any order and as often as they were found. They are brought into the order of the whole, so
// that equal scores order alike.
func (m *Model) over(items []vectorstore.Item, together map[int32]vectorstore.Neighbours) (*recommend.Model, error) {
	if len(items) == 0 {
		return m.base, nil // which has none of them either
	}
	catalog, err := m.catalog(items, together)
	if err != nil {
		return nil, err
	}
	return m.base.Over(catalog)
}

func (m *Model) catalog(items []vectorstore.Item, together map[int32]vectorstore.Neighbours) (recommend.Catalog, error) {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b vectorstore.Item) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	items = slices.CompactFunc(items, func(a, b vectorstore.Item) bool { return a.Ordinal == b.Ordinal })
	var c recommend.Catalog
	for _, i := range items {
		c.Ordinals = append(c.Ordinals, i.Ordinal)
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
		of := together[ordinal]
		for k, other := range of.Others {
			if row, present := slices.BinarySearch(c.Ordinals, other); present {
				others, strengths = append(others, int32(row)), append(strengths, of.Strengths[k])
			}
		}
		if err := c.Together.Append(others, strengths); err != nil {
			return c, fmt.Errorf("model %s: %w", m.reference.Version, err)
		}
	}
	return c, nil
}

// sessions are the items of a batch's histories, and those that they co-occur with.
type sessions struct {
	all      []vectorstore.Item
	byID     map[string]vectorstore.Item
	others   map[int32]vectorstore.Item // by ordinal
	together map[int32]vectorstore.Neighbours
}

// of are those of one request.
func (s sessions) of(r recommend.Request) (items []vectorstore.Item) {
	for _, e := range r.History {
		item, known := s.byID[e.Item]
		if !known {
			continue
		}
		items = append(items, item)
		for _, ordinal := range s.together[item.Ordinal].Others {
			if other, present := s.others[ordinal]; present {
				items = append(items, other)
			}
		}
	}
	return items
}

// sessions reads the items of histories, and what they co-occur with.
func (m *Model) sessions(ctx context.Context, requests []recommend.Request) (sessions, error) {
	ids := map[string]bool{}
	for _, r := range requests {
		for _, e := range r.History {
			ids[e.Item] = true
		}
	}
	s := sessions{byID: map[string]vectorstore.Item{}, others: map[int32]vectorstore.Item{}, together: map[int32]vectorstore.Neighbours{}}
	if len(ids) == 0 {
		return s, nil
	}
	var neighbours []vectorstore.Neighbours
	var err error
	s.all, neighbours, err = m.store.ItemsByID(ctx, m.reference, m.columns, slices.Sorted(maps.Keys(ids)), m.blend)
	if err != nil {
		return s, err
	}
	for _, i := range s.all {
		s.byID[i.ID], s.others[i.Ordinal] = i, i
	}
	for _, n := range neighbours {
		s.together[n.Item] = n
	}
	return s, nil
}

// Answers recommends to several users. It asks the database twice, however many they are: for the items of their sessions, and for what suits
// them; and a third time if lists would be too short. Each request is answered from what was found for it alone: an event that is
// delivered again, in another batch, is answered alike.
func (m *Model) Answers(ctx context.Context, requests []recommend.Request) ([]recommend.Answer, error) {
	known, err := m.sessions(ctx, requests)
	if err != nil {
		return nil, err
	}
	model, err := m.over(known.all, known.together)
	if err != nil {
		return nil, err
	}
	queries, err := model.Queries(requests)
	if err != nil {
		return nil, err
	}
	searches, items := make([]vectorstore.Search, len(queries)), make([][]vectorstore.Item, len(queries))
	for n, q := range queries {
		searches[n] = vectorstore.Search{
			Vector: q.Vector, Hidden: q.Hidden, Candidates: max(1, candidates*requests[n].Limit), Seed: q.Seed, Similar: requests[n].Limit + spare,
		}
		items[n] = known.of(requests[n])
		if q.Vector == nil {
			items[n] = append(items[n], m.popular...)
		}
	}
	found, err := m.store.Search(ctx, m.reference, m.columns, searches, m.width)
	if err != nil {
		return nil, err
	}
	answers := make([]recommend.Answer, len(requests))
	answer := func(n int, f vectorstore.Found) error {
		items[n] = append(append(items[n], f.Candidates...), f.Similar...)
		model, err := m.over(items[n], known.together)
		if err != nil {
			return err
		}
		one, err := model.Answers(requests[n : n+1])
		if err == nil {
			answers[n] = one[0]
		}
		return err
	}
	var short []int
	var again []vectorstore.Search
	for n, f := range found {
		if err := answer(n, f); err != nil {
			return nil, err
		}
		if m.short(requests[n].Limit, searches[n], f, answers[n]) {
			q := searches[n]
			q.Candidates, q.PerCategory = requests[n].Limit, m.atMost
			short, again = append(short, n), append(again, q)
		}
	}
	if len(short) == 0 {
		return answers, nil
	}
	if found, err = m.store.Search(ctx, m.reference, m.columns, again, vectorstore.Exhaustive); err != nil {
		return nil, err
	}
	for k, f := range found {
		if err := answer(short[k], f); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// short says that better items than the candidates may belong into an answer: a list that is not full, or one that a bound on categories filled
// with items that rank behind the last candidate.
func (m *Model) short(limit int, q vectorstore.Search, found vectorstore.Found, answer recommend.Answer) bool {
	if int64(limit) >= m.items {
		limit = 0 // there are no more to be found
	}
	if len(answer.Items) < limit || len(answer.Similar) < limit {
		return true
	}
	if m.atMost == 0 || len(answer.Items) == 0 || len(found.Candidates) < q.Candidates {
		return false
	}
	worst := score(q, found.Candidates[0])
	for _, i := range found.Candidates[1:] {
		worst = min(worst, score(q, i))
	}
	return answer.Items[len(answer.Items)-1].Score < worst
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
	for _, width := range []int{m.width, vectorstore.Exhaustive} {
		nearest, err := m.store.Search(ctx, m.reference, m.columns, []vectorstore.Search{{Seed: id, Similar: limit + spare, Candidates: 1}}, width)
		if err != nil {
			return "", nil, false, err
		}
		model, err := m.over(append(found[:1:1], nearest[0].Similar...), nil)
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
