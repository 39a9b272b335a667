package vectorstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// Below this a scan of all items takes a few milliseconds, and is exact; an index costs seconds to build and some recall.
	hnswThreshold = 50_000
	// Of the neighbours that an index must find; a load whose index finds fewer fails.
	leastRecall = 0.95
	// pgvector indexes vectors of up to 2,000 numbers.
	maxIndexed = 2000
	mebibyte   = 1 << 20
	// Bytes of an item in the graph beside its vector, by filling 8 and 16 MiB with vectors of 8 and 64 numbers (pgvector 0.8.6, m = 16), and of
	// what the graph is allocated in.
	graphLinks = 720
	graphBlock = mebibyte
)

// searchWidths are candidates of an index scan (hnsw.ef_search), of which a version gets the first that finds enough: 100 does for 100,000 items, a
// million may need several times that. pgvector's default of 40 is for speed first, and it takes up to 1,000.
var searchWidths = [...]int{100, 200, 400, 800}

// indexing says which item tables get an index, and how good it must be.
type indexing struct {
	from        int64
	leastRecall float64
}

const innerProduct = "<#>" // negated

// operators of the two questions that are asked of items: what suits a user, and what is like an item.
var operators = [...]struct{ name, class string }{{innerProduct, "vector_ip_ops"}, {"<=>", "vector_cosine_ops"}}

// graphBytes is what building an HNSW index takes if all of its graph is to stay in memory, a tenth spare.
func graphBytes(items int64, dimension int) int64 {
	return items*int64(4*dimension+graphLinks)*11/10 + 2*graphBlock
}

// index builds HNSW indexes on a large item table, and one by popularity. It measures the former against the exact answer, records how far a scan
// has to look, and returns what it did, for people.
func index(ctx context.Context, tx pgx.Tx, table pgx.Identifier, m Model, wanted indexing, took *Took) (string, error) {
	if m.ItemCount < wanted.from || m.Dimension > maxIndexed {
		return "exact", nil
	}
	// A graph that outgrows this memory is finished on the disk, several times slower. How much the server has it does not say; 1 GiB, or as much
	// as its buffers have, which RDS sets to a quarter of its memory.
	var buffers int64
	if err := tx.QueryRow(ctx, `select pg_size_bytes(current_setting('shared_buffers'))`).Scan(&buffers); err != nil {
		return "", err
	}
	memory := min(max(buffers, 1024*mebibyte), max(64*mebibyte, graphBytes(m.ItemCount, m.Dimension)))
	if _, err := tx.Exec(ctx, fmt.Sprintf(`set local maintenance_work_mem = '%dkB'`, memory>>10)); err != nil {
		return "", err
	}
	started := time.Now()
	for _, o := range operators {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`create index on %s using hnsw (embedding %s)`, table.Sanitize(), o.class)); err != nil {
			return "", err
		}
	}
	// For who is nobody in particular: the most popular that the filters leave.
	if _, err := tx.Exec(ctx, fmt.Sprintf(`create index on %s (bias desc, ordinal)`, table.Sanitize())); err != nil {
		return "", err
	}
	took.Index = time.Since(started)
	r, err := measureRecall(ctx, tx, table, wanted.leastRecall)
	took.Recall = time.Since(started) - took.Index
	if err != nil {
		return "", err
	}
	if err := r.check(wanted.leastRecall); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, `update millrace.model_version set search_width = $2 where version = $1`, m.Version, r.width); err != nil {
		return "", err
	}
	return fmt.Sprintf("hnsw, ef_search %d, recall@%d of %d probes: %s %.3f, %s %.3f", r.width, neighbours, r.probes, operators[0].class, r.indexed[0], operators[1].class, r.indexed[1]), nil
}
