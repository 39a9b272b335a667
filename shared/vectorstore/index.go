package vectorstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	// Below this a scan of all items takes a few milliseconds, and is exact; an index costs seconds to build and some recall.
	hnswThreshold = 50_000
	// pgvector indexes vectors of up to 2,000 numbers.
	maxIndexed = 2000

	probes      = 200 // items whose neighbours are compared, index against exact
	neighbours  = 10
	leastRecall = 0.95
	// Candidates of an index scan (hnsw.ef_search); pgvector's default of 40 is for speed first.
	searchWidth = 100
)

// operators of the two questions that are asked of items: what suits a user, and what is like an item.
var operators = []struct{ name, class string }{{"<#>", "vector_ip_ops"}, {"<=>", "vector_cosine_ops"}}

// index builds HNSW indexes on a large item table and measures them against the exact answer: an index that
// misses more than one in twenty neighbours fails the load. It returns what it did, for people.
func index(ctx context.Context, tx pgx.Tx, table pgx.Identifier, m Model, from int64) (string, error) {
	if m.ItemCount < from || m.Dimension > maxIndexed {
		return "exact", nil
	}
	// The graph is built several times faster if all of it fits: 4 bytes a number, some 300 bytes of links an item, a quarter spare.
	need := m.ItemCount * int64(4*m.Dimension+300) * 5 / 4 >> 20
	if _, err := tx.Exec(ctx, fmt.Sprintf(`set local maintenance_work_mem = '%dMB'`, min(1024, max(64, need)))); err != nil {
		return "", err
	}
	done := "hnsw"
	for _, o := range operators {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`create index on %s using hnsw (embedding %s)`, table.Sanitize(), o.class)); err != nil {
			return "", err
		}
		recall, err := recall(ctx, tx, table, o.name)
		if err != nil {
			return "", err
		}
		if recall < leastRecall {
			return "", fmt.Errorf("%s finds %.3f of the %d nearest items, less than %.2f", o.class, recall, neighbours, leastRecall)
		}
		done += fmt.Sprintf(", recall@%d of %s %.3f", neighbours, o.class, recall)
	}
	return done, nil
}

// recall is the share of the index's neighbours that are as near as the exact ones; ties count.
func recall(ctx context.Context, tx pgx.Tx, table pgx.Identifier, operator string) (float64, error) {
	ask := fmt.Sprintf(`select array(select i.embedding %[1]s p.embedding from %[2]s i order by i.embedding %[1]s p.embedding limit %[3]d)
		from (select id, embedding from %[2]s order by md5(id) limit %[4]d) p order by p.id`, operator, table.Sanitize(), neighbours, probes)
	distances := func(settings ...string) ([][]float64, error) {
		for _, s := range settings {
			if _, err := tx.Exec(ctx, "set local "+s); err != nil {
				return nil, err
			}
		}
		rows, err := tx.Query(ctx, ask)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[[]float64])
	}
	exact, err := distances("enable_indexscan = off", "enable_seqscan = on")
	if err != nil {
		return 0, err
	}
	approximate, err := distances("enable_indexscan = on", "enable_seqscan = off", fmt.Sprintf("hnsw.ef_search = %d", searchWidth))
	if err != nil {
		return 0, err
	}
	found, all := 0, 0
	for n, nearest := range exact {
		farthest := nearest[len(nearest)-1]
		all += len(nearest)
		for _, distance := range approximate[n] {
			if distance <= farthest+1e-6 {
				found++
			}
		}
	}
	_, err = tx.Exec(ctx, "set local enable_seqscan = on")
	return float64(found) / float64(all), err
}
