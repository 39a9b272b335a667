package vectorstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// Items is a version's item table, column by column, ascending by id in byte order.
type Items struct {
	IDs, Names []string
	Embeddings []float32 // n×d row-major
	Bias       []float32
}

// Items reads all items of a version. Memory: n × (4·d + about 100) bytes.
func (s *Store) Items(ctx context.Context, r Reference) (Items, error) {
	var list Items
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select id, name, embedding, bias from %s order by id collate "C"`, items(r.N).Sanitize()))
	if err != nil {
		return Items{}, gone(r, "items", err)
	}
	var id, name string
	var embedding pgvector.Vector
	var bias float32
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &embedding, &bias}, func() error {
		list.IDs, list.Names = append(list.IDs, id), append(list.Names, name)
		list.Embeddings, list.Bias = append(list.Embeddings, embedding.Slice()...), append(list.Bias, bias)
		return nil
	})
	if err != nil {
		return Items{}, gone(r, "items", err)
	}
	return list, nil
}

// Encoder is the version's encoder.json.
func (s *Store) Encoder(ctx context.Context, r Reference) (json.RawMessage, error) {
	var text json.RawMessage
	err := s.pool.QueryRow(ctx, `select encoder from millrace.model_version where n = $1`, r.N).Scan(&text)
	return text, explain("read the encoder of "+r.Version, err)
}

// User is a user of the model: Embedding is trained, or, if Cold, predicted from features.
type User struct {
	Embedding []float32
	Cold      bool
}

// Users finds users of a version by id, in one round trip; unknown ones are absent.
func (s *Store) Users(ctx context.Context, r Reference, ids []string) (map[string]User, error) {
	found := map[string]User{}
	if len(ids) == 0 {
		return found, nil
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select id, embedding, cold from %s where id = any($1)`, users(r.N).Sanitize()), ids)
	if err != nil {
		return nil, gone(r, "users", err)
	}
	var id string
	var embedding pgvector.Vector
	var cold bool
	_, err = pgx.ForEachRow(rows, []any{&id, &embedding, &cold}, func() error {
		found[id] = User{embedding.Slice(), cold}
		return nil
	})
	if err != nil {
		return nil, gone(r, "users", err)
	}
	return found, nil
}

func gone(r Reference, what string, err error) error {
	if tableMissing(err) {
		return fmt.Errorf("model %s: %w", r.Version, ErrGone)
	}
	return explain(fmt.Sprintf("read %s of model %s", what, r.Version), err)
}
