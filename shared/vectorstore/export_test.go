package vectorstore

import "context"

// CheckPgvector and LoadIndexed let tests meet servers and sizes that a test machine does not have.
var (
	CheckPgvector = checkPgvector
	GraphBytes    = graphBytes
)

func (s *Store) LoadIndexed(ctx context.Context, m Model, from int64, leastRecall float64) (Outcome, error) {
	return s.load(ctx, m, purpose{}, indexing{from, leastRecall})
}
