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

func (s *Store) DropUnneeded(ctx context.Context, table string) (bool, error) {
	return s.dropUnneeded(ctx, table)
}

// CheckRecall judges shares of true neighbours that were found, by operator.
func CheckRecall(exact, indexed [2]float64, least float64) error {
	return recalls{exact: exact, indexed: indexed}.check(least)
}
