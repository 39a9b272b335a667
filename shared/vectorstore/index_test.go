package vectorstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// graph builds an HNSW index of n random vectors within so many bytes and returns what PostgreSQL says of it.
func graph(t *testing.T, b bundle, n, dimension int, memory int64) (notices []string) {
	cfg, err := pgx.ParseConfig(b.url)
	require.NoError(t, err)
	cfg.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { notices = append(notices, notice.Message) }
	conn, err := pgx.ConnectConfig(b.ctx, cfg)
	require.NoError(t, err)
	defer conn.Close(b.ctx)
	_, err = conn.Exec(b.ctx, fmt.Sprintf(`set max_parallel_maintenance_workers = 0; set maintenance_work_mem = '%dkB'; create temporary table points (p vector(%d));
		insert into points select array_agg(random_normal())::vector from generate_series(1, %d) item, generate_series(1, %d) group by item`, memory>>10, dimension, n, dimension))
	require.NoError(t, err)
	_, err = conn.Exec(b.ctx, "create index on points using hnsw (p vector_ip_ops)")
	require.NoError(t, err)
	return notices
}

func TestTheGraphFitsIntoTheMemoryThatIsComputedForIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const items = 6000
	for _, dimension := range []int{4, 64} {
		need := vectorstore.GraphBytes(items, dimension)
		require.Empty(t, graph(t, b, items, dimension, need))
		require.Contains(t, strings.Join(graph(t, b, items, dimension, need/2), " "), "no longer fits", "%d numbers: the estimate is far too high", dimension)
	}
}

func TestAnIndexThatFindsTooLittleFailsTheLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	_, err := b.store.LoadIndexed(b.ctx, large("2"), 1000, 1.01)
	require.ErrorContains(t, err, "of the 10 nearest items, less than 1.01, even with hnsw.ef_search = 800")
	var defect *vectorstore.Defect
	require.False(t, errors.As(err, &defect))
	require.Len(t, b.tables(t), 2)
}

func TestNoIndexIsMeasuredByAnAnswerThatIsNotTrue(t *testing.T) {
	t.Parallel()
	require.NoError(t, vectorstore.CheckRecall([2]float64{1, 1}, [2]float64{.96, 1}, .95))
	require.ErrorContains(t, vectorstore.CheckRecall([2]float64{1, .9995}, [2]float64{1, 1}, .95), "the exact search by <=> finds 0.9995")
	require.ErrorContains(t, vectorstore.CheckRecall([2]float64{1, 1}, [2]float64{.94, 1}, .95), "vector_ip_ops finds 0.940")
}

// noise is a model of independent vectors, which have no neighbours to speak of: an index has to look far.
func noise(run string) vectorstore.Model {
	return scattered(run, 4000, 128, func(int, int) float32 { return 0 })
}

func TestAnIndexThatFindsTooLittleIsSearchedFarther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	width := func(run string) int {
		now, err := b.store.Active(b.ctx)
		require.NoError(t, err)
		require.Equal(t, run+"-abc", now.Version)
		width, err := b.store.SearchWidth(b.ctx, now)
		require.NoError(t, err)
		return width
	}
	b.load(t, "1") // has no index
	require.Equal(t, 100, width("1"))
	_, err := b.store.LoadIndexed(b.ctx, noise("2"), 1000, .5)
	require.NoError(t, err)
	require.Equal(t, 100, width("2"))
	out, err := b.store.LoadIndexed(b.ctx, noise("3"), 1000, .992)
	t.Log(out.Index)
	require.NoError(t, err)
	require.Contains(t, []int{200, 400, 800}, width("3"))
	require.Contains(t, out.Index, fmt.Sprintf("hnsw, ef_search %d, recall@10", width("3")))
	postgrestest.Exec(t, b.url, `alter table millrace.model_version drop column search_width`) // as before the migration
	require.Equal(t, 100, width("3"))
}
