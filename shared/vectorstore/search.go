package vectorstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// Item is an item of a version that was found in the database.
type Item struct {
	Ordinal         int32 // position among the version's items
	ID, Name        string
	Embedding       []float32
	Bias            float32
	Stock, Category string // "" is NULL
}

// Columns name two features of items; "" is none.
type Columns struct {
	Stock    string // an item that has a number of zero or less is not found by Search
	Category string
}

// Search asks for items.
type Search struct {
	Vector     []float32 // those with the greatest inner product; nil: the most popular
	Hidden     []int32   // ordinals that are not wanted
	Candidates int       // how many
	Seed       string    // the nearest to this item by cosine; "": to the first of the others
	Similar    int       // how many of these, with the seed itself
	// PerCategory bounds how many of a category are found, if above zero; only a search that reads every item can.
	PerCategory int
}

// Found are the items of one search, in no order.
type Found struct{ Candidates, Similar []Item }

// maxWidth is pgvector's for hnsw.ef_search.
const maxWidth = 1000

// inStock is the rule of recommend for text, in SQL: what is no number counts as in stock. Stock is parameter $1.
const inStock = `case when features->>$1 ~ '^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?\s*$' then (features->>$1)::numeric > 0 else true end`

const itemColumns = `ordinal, id, name, embedding, bias, coalesce(features->>$1, ''), coalesce(features->>$2, '')`

// Exhaustive is the width of a search that reads every item and misses none.
const Exhaustive = 0

// SearchWidth is how far a search of the version's indexes has to look, as the loader has measured it.
func (s *Store) SearchWidth(ctx context.Context, r Reference) (int, error) {
	return tried(ctx, s, func() (width int, err error) {
		// As JSON: a database that no loader of this build has seen has no such column.
		err = s.pool.QueryRow(ctx, `select coalesce((to_jsonb(v)->>'search_width')::int, $2) from millrace.model_version v where n = $1`, r.N, searchWidths[0]).Scan(&width)
		return width, explain("read the search width of "+r.Version, err)
	})
}

// Search answers several searches in one round trip, by the HNSW indexes if the version has them: as many items as asked for, or fewer where
// the index leads to fewer. The width is SearchWidth's, or Exhaustive.
func (s *Store) Search(ctx context.Context, r Reference, columns Columns, searches []Search, width int) ([]Found, error) {
	table := items(r.N).Sanitize()
	batch := &pgx.Batch{}
	// A batch is one implicit transaction, and what is set for it ends with it: RDS Proxy would pin a session that has settings of its own.
	if width == Exhaustive {
		batch.Queue(`select set_config('enable_indexscan', 'off', true)`)
	} else {
		for _, q := range searches {
			width = max(width, q.Candidates, q.Similar)
		}
		// Filtered rows do not count: an index scan goes on until there are enough (pgvector 0.8, up to hnsw.max_scan_tuples).
		batch.Queue(`select set_config('hnsw.ef_search', $1, true), set_config('hnsw.iterative_scan', 'relaxed_order', true)`, strconv.Itoa(min(width, maxWidth)))
	}
	for _, q := range searches {
		q.queue(batch, table, columns)
	}
	var found []Found
	err := s.try(ctx, func() (err error) {
		results := s.pool.SendBatch(ctx, batch)
		found, err = readFound(results, len(searches))
		if closed := results.Close(); err == nil {
			err = closed
		}
		return err
	})
	if err != nil {
		return nil, gone(r, "items", err)
	}
	return found, nil
}

// queue adds the two questions of a search. $1 and $2 are the columns.
func (q Search) queue(batch *pgx.Batch, table string, columns Columns) {
	hidden := q.Hidden
	if hidden == nil {
		hidden = []int32{}
	}
	allowed := `ordinal <> all($3::int[])`
	forSale := `true`
	if columns.Stock != "" {
		forSale = inStock
		allowed += ` and ` + inStock
	}
	arguments := []any{columns.Stock, columns.Category, hidden}
	order := `bias desc, ordinal`
	if q.Vector != nil {
		order = `embedding ` + innerProduct + ` $4`
		arguments = append(arguments, pgvector.NewVector(q.Vector))
	}
	if q.PerCategory > 0 {
		bound := fmt.Sprintf(`(select *, row_number() over (partition by features->>$2 order by %s, ordinal) as place from %s where %s) ranked`, order, table, allowed)
		batch.Queue(fmt.Sprintf(`select %s from %s where coalesce(features->>$2, '') = '' or place <= %d order by %s limit %d`,
			itemColumns, bound, q.PerCategory, order, q.Candidates), arguments...)
	} else {
		batch.Queue(fmt.Sprintf(`select %s from %s where %s order by %s limit %d`, itemColumns, table, allowed, order, q.Candidates), arguments...)
	}
	seed := []any{columns.Stock, columns.Category, q.Seed}
	chosen := `id = $3`
	if q.Seed == "" {
		seed = arguments
		chosen = fmt.Sprintf(`%s order by %s limit 1`, allowed, order)
	}
	batch.Queue(fmt.Sprintf(`select %s from %s where %s order by embedding <=> (select embedding from %s where %s) limit %d`,
		itemColumns, table, forSale, table, chosen, q.Similar), seed...)
}

func readFound(results pgx.BatchResults, n int) ([]Found, error) {
	if _, err := results.Exec(); err != nil { // the settings
		return nil, err
	}
	found := make([]Found, n)
	for k := range found {
		for _, list := range []*[]Item{&found[k].Candidates, &found[k].Similar} {
			rows, err := results.Query()
			if err == nil {
				*list, err = pgx.CollectRows(rows, scanItem)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func scanItem(row pgx.CollectableRow) (Item, error) {
	var i Item
	var embedding pgvector.Vector
	err := row.Scan(&i.Ordinal, &i.ID, &i.Name, &embedding, &i.Bias, &i.Stock, &i.Category)
	i.Embedding = embedding.Slice()
	return i, err
}

// ItemsByID finds items, and if it is asked for, what they co-occur with: the strengths, and the items themselves. One round trip.
func (s *Store) ItemsByID(ctx context.Context, r Reference, columns Columns, ids []string, together bool) (found []Item, neighbours []Neighbours, err error) {
	table := items(r.N).Sanitize()
	arguments := []any{columns.Stock, columns.Category, ids}
	batch := &pgx.Batch{}
	batch.Queue(fmt.Sprintf(`select %s from %s where id = any($3)`, itemColumns, table), arguments...)
	if together {
		of := fmt.Sprintf(`%s c where c.item in (select ordinal from %s where id = any($3))`, cooccurrences(r.N).Sanitize(), table)
		batch.Queue(`select item, others, strengths from `+cooccurrences(r.N).Sanitize()+fmt.Sprintf(` where item in (select ordinal from %s where id = any($1))`, table), ids)
		batch.Queue(fmt.Sprintf(`select %s from %s where ordinal in (select unnest(c.others) from %s) and id <> all($3)`, itemColumns, table, of), arguments...)
	}
	err = s.try(ctx, func() error {
		found, neighbours = nil, nil
		results := s.pool.SendBatch(ctx, batch)
		err := func() error {
			rows, err := results.Query()
			if err == nil {
				found, err = pgx.CollectRows(rows, scanItem)
			}
			if err != nil || !together {
				return err
			}
			if rows, err = results.Query(); err == nil {
				neighbours, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Neighbours])
			}
			if err != nil {
				return err
			}
			var others []Item
			if rows, err = results.Query(); err == nil {
				others, err = pgx.CollectRows(rows, scanItem)
			}
			found = append(found, others...)
			return err
		}()
		if closed := results.Close(); err == nil {
			err = closed
		}
		return err
	})
	if err != nil {
		return nil, nil, gone(r, "items", err)
	}
	return found, neighbours, nil
}
