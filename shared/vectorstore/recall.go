package vectorstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/millrace/millrace/shared/embedding"
	"github.com/millrace/millrace/shared/kernel"
)

const (
	probes     = 200 // items whose neighbours are compared
	neighbours = 10
	// PostgreSQL's exact search reads all items for each probe: 4 M distances take about a second. Of a million items that is few
	// probes, so at least some are asked for.
	exactDistances = 4_000_000
	leastExact     = 20
	// Sums of up to 2,000 floats in another order differ by less, relative to the vectors' lengths.
	rounding = 1e-5
)

// probe is an item and how far its nearest are, by each of the operators.
type probe struct {
	id      string
	vector  []float32
	length  float64
	nearest [len(operators)][]float64 // ascending, at most neighbours
}

// seen is what bruteForce has seen of the items.
type seen struct {
	items   int
	longest float64
}

// recalls are shares of the true neighbours that were found, by operator.
type recalls struct {
	probes         int
	width          int // hnsw.ef_search
	exact, indexed [len(operators)]float64
}

// check says what is not good enough.
func (r recalls) check(least float64) error {
	for k, o := range operators {
		if r.exact[k] < 1 {
			return fmt.Errorf("the exact search by %s finds %.4f of the %d nearest items: without a true answer no index can be measured", o.name, r.exact[k], neighbours)
		}
		if r.indexed[k] < least {
			return fmt.Errorf("%s finds %.3f of the %d nearest items, less than %.2f, even with hnsw.ef_search = %d", o.class, r.indexed[k], neighbours, least, r.width)
		}
	}
	return nil
}

// measureRecall computes the nearest items of some in process, from what is in the table, and looks how many of them PostgreSQL finds: without
// the indexes, which must be all, and with them, looking farther until it finds enough.
func measureRecall(ctx context.Context, tx pgx.Tx, table pgx.Identifier, enough float64) (r recalls, err error) {
	list, err := takeProbes(ctx, tx, table)
	if err != nil {
		return r, err
	}
	all, err := bruteForce(ctx, tx, table, list)
	if err != nil {
		return r, err
	}
	r.probes = len(list)
	some := list[:min(len(list), max(leastExact, exactDistances/max(all.items, 1)))]
	for k := range operators {
		if r.exact[k], err = recall(ctx, tx, table, k, some, all.longest, "enable_indexscan = off", "enable_seqscan = on"); err != nil {
			return r, err
		}
	}
	for _, r.width = range searchWidths {
		for k := range operators {
			if r.indexed[k], err = recall(ctx, tx, table, k, list, all.longest, "enable_indexscan = on", "enable_seqscan = off", fmt.Sprintf("hnsw.ef_search = %d", r.width)); err != nil {
				return r, err
			}
		}
		if slices.Min(r.indexed[:]) >= enough {
			break
		}
	}
	_, err = tx.Exec(ctx, "set local enable_seqscan = on")
	return r, err
}

// takeProbes takes items at random, the same ones each time.
func takeProbes(ctx context.Context, tx pgx.Tx, table pgx.Identifier) ([]*probe, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`select id, embedding from %s order by md5(id) limit %d`, table.Sanitize(), probes))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*probe, error) {
		var p probe
		var v pgvector.Vector
		err := row.Scan(&p.id, &v)
		p.vector = v.Slice()
		p.length = embedding.Norm(p.vector)
		return &p, err
	})
}

// bruteForce finds the nearest items of all probes in one pass over the table.
func bruteForce(ctx context.Context, tx pgx.Tx, table pgx.Identifier, list []*probe) (all seen, err error) {
	rows, err := tx.Query(ctx, `select embedding from `+table.Sanitize())
	if err != nil {
		return all, err
	}
	k := kernel.Fastest()
	var v pgvector.Vector
	_, err = pgx.ForEachRow(rows, []any{&v}, func() error {
		vector := v.Slice()
		length := embedding.Norm(vector)
		all.items, all.longest = all.items+1, max(all.longest, length)
		for _, p := range list {
			product := float64(k.Dot(p.vector, vector))
			p.keep(0, -product)
			p.keep(1, 1-product/(p.length*length))
		}
		return nil
	})
	return all, err
}

func (p *probe) keep(operator int, distance float64) {
	nearest := p.nearest[operator]
	if len(nearest) == neighbours && distance >= nearest[neighbours-1] {
		return
	}
	at, _ := slices.BinarySearch(nearest, distance)
	nearest = slices.Insert(nearest, at, distance)
	p.nearest[operator] = nearest[:min(len(nearest), neighbours)]
}

// recall asks PostgreSQL for the nearest items of the probes and counts those that are as near as the true ones; ties count.
func recall(ctx context.Context, tx pgx.Tx, table pgx.Identifier, operator int, list []*probe, longest float64, settings ...string) (float64, error) {
	for _, s := range settings {
		if _, err := tx.Exec(ctx, "set local "+s); err != nil {
			return 0, err
		}
	}
	ids := make([]string, len(list))
	for n, p := range list {
		ids[n] = p.id
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(`select array(select i.embedding %[1]s p.embedding from %[2]s i order by i.embedding %[1]s p.embedding limit %[3]d)
		from unnest($1::text[]) with ordinality asked (id, n) join %[2]s p using (id) order by n`, operators[operator].name, table.Sanitize(), neighbours), ids)
	if err != nil {
		return 0, err
	}
	answers, err := pgx.CollectRows(rows, pgx.RowTo[[]float64])
	if err != nil {
		return 0, err
	}
	if len(answers) != len(list) {
		return 0, fmt.Errorf("%d of %d probes were answered", len(answers), len(list))
	}
	found, all := 0, 0
	for n, p := range list {
		nearest := p.nearest[operator]
		tolerance := rounding
		if operators[operator].name == innerProduct {
			tolerance *= p.length * longest
		}
		all += len(nearest)
		for _, distance := range answers[n] {
			if distance <= nearest[len(nearest)-1]+tolerance {
				found++
			}
		}
	}
	return float64(found) / float64(all), nil
}
