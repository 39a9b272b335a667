package vectorstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/millrace/millrace/shared/cooccurrence"
)

// Items is a version's item table, column by column, ascending by id in byte order.
type Items struct {
	IDs, Names []string
	Embeddings []float32 // n×d row-major
	Bias       []float32
	// Stock and Category are two columns of the items as text, "" for NULL; nil if none is asked for.
	Stock, Category []string
}

// Items reads all items of a version, and two of the columns in their features, if they are named. Memory: n × (4·d + about 100) bytes.
func (s *Store) Items(ctx context.Context, r Reference, stockColumn, categoryColumn string) (Items, error) {
	list, err := tried(ctx, s, func() (Items, error) { return s.readItems(ctx, r, stockColumn, categoryColumn) })
	if err != nil {
		return Items{}, gone(r, "items", err)
	}
	return list, nil
}

func (s *Store) readItems(ctx context.Context, r Reference, stockColumn, categoryColumn string) (Items, error) {
	var list Items
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select id, name, embedding, bias, coalesce(features->>$1, ''), coalesce(features->>$2, ''),
			coalesce((select items from millrace.model_version where n = $3), 0)
		from %s order by id collate "C"`, items(r.N).Sanitize()), stockColumn, categoryColumn, r.N)
	if err != nil {
		return Items{}, err
	}
	var id, name, stock, category string
	var embedding pgvector.Vector
	var bias float32
	var count int
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &embedding, &bias, &stock, &category, &count}, func() error {
		if list.IDs == nil {
			list.grow(count, len(embedding.Slice()), stockColumn != "", categoryColumn != "")
		}
		list.IDs, list.Names = append(list.IDs, id), append(list.Names, name)
		list.Embeddings, list.Bias = append(list.Embeddings, embedding.Slice()...), append(list.Bias, bias)
		if stockColumn != "" {
			list.Stock = append(list.Stock, stock)
		}
		if categoryColumn != "" {
			list.Category = append(list.Category, category)
		}
		return nil
	})
	return list, err
}

// grow makes room for n items: a list that grows as it is read takes more than twice its size in between.
func (l *Items) grow(n, dimension int, stock, category bool) {
	l.IDs, l.Names = make([]string, 0, n), make([]string, 0, n)
	l.Embeddings, l.Bias = make([]float32, 0, n*dimension), make([]float32, 0, n)
	if stock {
		l.Stock = make([]string, 0, n)
	}
	if category {
		l.Category = make([]string, 0, n)
	}
}

// Cooccurrences reads which of a version's n items follow which in sessions, of a model that has them.
func (s *Store) Cooccurrences(ctx context.Context, r Reference, n int) (*cooccurrence.Table, error) {
	table, err := tried(ctx, s, func() (*cooccurrence.Table, error) { return s.readCooccurrences(ctx, r, n) })
	if err != nil {
		return nil, gone(r, "co-occurrences", err)
	}
	return table, nil
}

func (s *Store) readCooccurrences(ctx context.Context, r Reference, n int) (*cooccurrence.Table, error) {
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select item, others, strengths, (select sum(cardinality(others)) from %[1]s) from %[1]s order by item`,
		cooccurrences(r.N).Sanitize()))
	if err != nil {
		return nil, err
	}
	var table cooccurrence.Table
	var item int32
	var others []int32
	var strengths []float32
	var all int
	_, err = pgx.ForEachRow(rows, []any{&item, &others, &strengths, &all}, func() error {
		if table.Len() == 0 {
			table.Grow(n, all)
		}
		for table.Len() < int(item) {
			if err := table.Append(nil, nil); err != nil {
				return err
			}
		}
		return table.Append(others, strengths)
	})
	for err == nil && table.Len() < n {
		err = table.Append(nil, nil)
	}
	return &table, err
}

// ItemCount is how many items the version has.
func (s *Store) ItemCount(ctx context.Context, r Reference) (int64, error) {
	return tried(ctx, s, func() (n int64, err error) {
		err = s.pool.QueryRow(ctx, `select items from millrace.model_version where n = $1`, r.N).Scan(&n)
		return n, explain("read the size of "+r.Version, err)
	})
}

// Encoder is the version's encoder.json.
func (s *Store) Encoder(ctx context.Context, r Reference) (json.RawMessage, error) {
	return tried(ctx, s, func() (text json.RawMessage, err error) {
		err = s.pool.QueryRow(ctx, `select encoder from millrace.model_version where n = $1`, r.N).Scan(&text)
		return text, explain("read the encoder of "+r.Version, err)
	})
}

// User is a user of the model: Embedding is trained, or, if Cold, predicted from features.
type User struct {
	Embedding []float32
	Cold      bool
	Bought    []int32 // positions in Items, ascending
}

// Users finds users of a version by id, in one round trip; unknown ones are absent.
func (s *Store) Users(ctx context.Context, r Reference, ids []string) (map[string]User, error) {
	if len(ids) == 0 {
		return map[string]User{}, nil
	}
	found, err := tried(ctx, s, func() (map[string]User, error) { return s.readUsers(ctx, r, ids) })
	if err != nil {
		return nil, gone(r, "users", err)
	}
	return found, nil
}

func (s *Store) readUsers(ctx context.Context, r Reference, ids []string) (map[string]User, error) {
	found := map[string]User{}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select id, embedding, cold, bought from %s where id = any($1)`, users(r.N).Sanitize()), ids)
	if err != nil {
		return nil, err
	}
	var id string
	var embedding pgvector.Vector
	var cold bool
	var bought []int32
	_, err = pgx.ForEachRow(rows, []any{&id, &embedding, &cold, &bought}, func() error {
		found[id] = User{embedding.Slice(), cold, slices.Clone(bought)}
		return nil
	})
	return found, err
}

func gone(r Reference, what string, err error) error {
	if tableMissing(err) {
		return fmt.Errorf("model %s: %w", r.Version, ErrGone)
	}
	return explain(fmt.Sprintf("read %s of model %s", what, r.Version), err)
}
