package trainset_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/trainset"
)

const (
	night   lake.Run = "20261122T020000Z"
	evening lake.Run = "20261122T200000Z"
)

type bundle struct {
	store lake.Store
	shop  *dataset.Dataset
}

func setup(t *testing.T) bundle {
	t.Helper()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	return bundle{lake.NewDirectory(t.TempDir()), shop}
}

// curate lands and partitions tables.
func (b bundle) curate(t *testing.T, run lake.Run, tables map[string]laketest.Table) {
	t.Helper()
	for name, table := range tables {
		_, err := partition.Write(context.Background(), b.store, laketest.Land(t, b.store, table, run), partition.Options{
			PartitionBy: b.shop.Tables[name].PartitionBy, Limits: partition.DefaultLimits(),
		})
		require.NoError(t, err)
	}
}

func (b bundle) build(t *testing.T, run lake.Run) trainset.Result {
	t.Helper()
	result, err := trainset.Write(context.Background(), b.store, b.shop, run, inProcess())
	require.NoError(t, err)
	return result
}

// inProcess are the settings of a function of 1,769 MB and 15 minutes, without Athena.
func inProcess() trainset.Settings {
	return trainset.Settings{Engine: trainset.InProcess, Limits: trainset.LimitsOf(1769, 15*time.Minute)}
}

// texts are a training set's rows as text.
func (b bundle) texts(t *testing.T, m lake.TrainingSuccess) []string {
	t.Helper()
	var texts []string
	for _, f := range m.Files {
		body, err := lake.ReadFile(context.Background(), b.store, f)
		require.NoError(t, err)
		r, err := parquetfile.Open(bytes.NewReader(body), f.Size)
		require.NoError(t, err)
		require.Equal(t, m.Columns, r.Columns())
		var row schema.Row
		for {
			if row, err = r.Next(row); errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			texts = append(texts, text(m.Columns, row))
		}
	}
	return texts
}

func text(cols []schema.Column, row schema.Row) string {
	var fields []string
	for i, v := range row {
		if v.Null {
			fields = append(fields, "NULL")
		} else {
			fields = append(fields, schema.Text(cols[i], v))
		}
	}
	return strings.Join(fields, "|")
}

// nestedLoops joins ratings ⋈ products ⋈ customers the slow and obvious way.
func nestedLoops(tables map[string]laketest.Table) (joined []string) {
	ratings, products, customers := tables["ratings"], tables["products"], tables["customers"]
	for _, r := range ratings.Rows {
		for _, p := range products.Rows {
			for _, c := range customers.Rows {
				if c[0].Int != r[0].Int || string(p[0].Bytes) != string(r[1].Bytes) {
					continue
				}
				row := schema.Row{c[0], c[2], c[3], c[4], c[5], c[6], p[0], p[2], p[3], p[5], p[6], p[7], r[2]}
				cc, pc := customers.Columns, products.Columns
				cols := []schema.Column{cc[0], cc[2], cc[3], cc[4], cc[5], cc[6], pc[0], pc[2], pc[3], pc[5], pc[6], pc[7], ratings.Columns[2]}
				joined = append(joined, text(cols, row))
			}
		}
	}
	return joined
}

func TestTrainingSetIsTheJoinOfTheTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	result := b.build(t, night)
	require.True(t, result.Published)
	got := b.texts(t, result.Marker)
	require.ElementsMatch(t, nestedLoops(laketest.Shop()), got)
	require.Equal(t, []string{ // in the order of the base's key
		"103|Nantes|NULL|44000|France|21000.00|S10_1678|Motorcycles|1:10|7933|48.81|95.70|3",
		"103|Nantes|NULL|44000|France|21000.00|S10_1949|Classic Cars|1:10|7305|98.58|214.30|4",
		"112|Las Vegas|NV|83030|USA|71800.50|S10_1678|Motorcycles|1:10|7933|48.81|95.70|2",
		"119|São Paulo||NULL|Brasil|NULL|S12_1099|Classic Cars|1:12|-68|95.34|194.57|5",
	}, got)
	require.EqualValues(t, 4, result.Marker.Rows)
	require.Equal(t, map[string]int64{"products": 3, "customers": 2}, result.Marker.Orphans)
	require.Equal(t, b.shop.Training.Table, result.Marker.Table)
	var parents []string
	for _, p := range result.Marker.Parents {
		parents = append(parents, p.Key)
	}
	require.Equal(t, []string{lake.CuratedMarker("ratings", night), lake.CuratedMarker("products", night), lake.CuratedMarker("customers", night)}, parents)
	lineage, err := lake.Trace(context.Background(), b.store, lake.TrainingMarker("classicmodels", night))
	require.NoError(t, err)
	for _, table := range lineage.Parents {
		require.True(t, table.Intact)
		require.Equal(t, "laketest", table.Parents[0].Server)
	}
}

func TestItWaitsForEveryTableOfTheRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := laketest.Shop()
	b.curate(t, night, map[string]laketest.Table{"ratings": shop["ratings"]})
	require.Equal(t, []string{"products", "customers"}, b.build(t, night).Waiting)
	b.curate(t, night, shop)
	b.curate(t, evening, map[string]laketest.Table{"ratings": shop["ratings"]})
	result := b.build(t, evening)
	require.Equal(t, []string{"products", "customers"}, result.Waiting, "tables of another run do not count")
	keys, err := b.store.List(context.Background(), "training/")
	require.NoError(t, err)
	require.Empty(t, keys)
	_, err = trainset.Write(context.Background(), b.store, b.shop, night, inProcess())
	require.ErrorIs(t, err, lake.ErrSuperseded, "ratings of the night are gone")
}

func TestASecondDeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	first := b.build(t, night)
	before := laketest.Objects(t, b.store)
	second := b.build(t, night)
	require.False(t, second.Published)
	require.Equal(t, first.Marker, second.Marker)
	require.Equal(t, before, laketest.Objects(t, b.store))
}

func TestRowsAreSplitOverFilesAndTheSameBytesEachTime(t *testing.T) {
	t.Parallel()
	small := inProcess()
	small.Limits.File = 2
	var all []map[string]string
	for range 2 {
		b := setup(t)
		b.curate(t, night, laketest.Shop())
		result, err := trainset.Write(context.Background(), b.store, b.shop, night, small)
		require.NoError(t, err)
		require.Len(t, result.Marker.Files, 2)
		require.ElementsMatch(t, nestedLoops(laketest.Shop()), b.texts(t, result.Marker))
		all = append(all, laketest.Objects(t, b.store))
	}
	require.Equal(t, all[0], all[1])
}

func TestANewerRunReplacesTheDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	b.build(t, night)
	shop := laketest.Shop()
	ratings := shop["ratings"]
	ratings.Rows = ratings.Rows[:1]
	shop["ratings"] = ratings
	b.curate(t, evening, shop)
	result := b.build(t, evening)
	require.True(t, result.Published)
	require.Equal(t, nestedLoops(shop), b.texts(t, result.Marker))
}

// replacing is a store in which something happens the first time an object is read or written.
type replacing struct {
	lake.Store
	prefix  string
	replace func()
}

func (r *replacing) touch(key string) {
	if strings.HasPrefix(key, r.prefix) && strings.HasSuffix(key, ".parquet") && r.replace != nil {
		replace := r.replace
		r.replace = nil
		replace()
	}
}

func (r *replacing) Get(ctx context.Context, key string) (io.ReadCloser, string, error) {
	r.touch(key)
	return r.Store.Get(ctx, key)
}

func (r *replacing) Put(ctx context.Context, key string, body io.Reader) error {
	r.touch(key)
	return r.Store.Put(ctx, key, body)
}

func TestATableReplacedMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]string{"before it is read": "curated/customers/", "after it was read": "training/"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.curate(t, night, laketest.Shop())
			changed := laketest.Shop()
			changed["customers"].Rows[0][2].Bytes = []byte("Rennes")
			store := &replacing{Store: b.store, prefix: moment, replace: func() {
				require.NoError(t, b.store.Delete(context.Background(), lake.RawMarker("customers", night)))
				b.curate(t, night, map[string]laketest.Table{"customers": changed["customers"]})
			}}
			result, err := trainset.Write(context.Background(), store, b.shop, night, inProcess())
			require.NoError(t, err)
			require.ElementsMatch(t, nestedLoops(changed), b.texts(t, result.Marker))
		})
	}
}

func TestNullJoinsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := laketest.Shop()
	products, ratings := shop["products"], shop["ratings"]
	products.Columns[0].Nullable, ratings.Columns[1].Nullable = true, true
	products.Rows[0][0], products.Rows[1][0] = schema.Value{Bytes: []byte{}}, schema.Value{Null: true}
	ratings.Rows[0][1] = schema.Value{Null: true}
	b.curate(t, night, shop)
	result := b.build(t, night)
	require.Zero(t, result.Marker.Rows)
	require.EqualValues(t, len(ratings.Rows), result.Marker.Orphans["products"])
}

func TestAMarkerThatContradictsItsFilesIsNotFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	key := lake.CuratedMarker("ratings", night)
	m, _, err := lake.ReadMarker[lake.CuratedSuccess](context.Background(), b.store, key, lake.CuratedFormat)
	require.NoError(t, err)
	m.Files[0].Checksum = laketest.Sum(m.Columns, nil)
	require.NoError(t, b.store.Delete(context.Background(), key))
	_, err = lake.Publish(context.Background(), b.store, key, m)
	require.NoError(t, err)
	_, err = trainset.Write(context.Background(), b.store, b.shop, night, inProcess())
	require.ErrorContains(t, err, m.Files[0].Key)
	require.ErrorContains(t, err, "publish it again")
}

func TestADamagedTableIsNeverLearnedFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	for key, body := range laketest.Objects(t, b.store) {
		if strings.HasPrefix(key, "curated/ratings/") && strings.HasSuffix(key, ".parquet") {
			damaged := []byte(body)
			damaged[len(damaged)/2] ^= 1
			require.NoError(t, b.store.Put(context.Background(), key, bytes.NewReader(damaged)))
		}
	}
	_, err := trainset.Write(context.Background(), b.store, b.shop, night, inProcess())
	require.ErrorIs(t, err, lake.ErrStale)
	require.ErrorContains(t, err, "table ratings: object curated/ratings/")
	_, _, err = b.store.Get(context.Background(), lake.TrainingMarker("classicmodels", night))
	require.ErrorIs(t, err, lake.ErrNotFound)
}

func TestAMistakeInTheDatasetFileIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := laketest.Shop()
	ratings := shop["ratings"]
	ratings.Columns[0].Kind, ratings.Columns[0].Bits = schema.Date, 0
	shop["ratings"] = ratings
	b.curate(t, night, shop)
	b.shop.Training.Columns = append(b.shop.Training.Columns, "customers.phone", "products.colour")
	_, err := trainset.Write(context.Background(), b.store, b.shop, night, inProcess())
	for _, want := range []string{
		"shared/dataset/classicmodels.yaml", "no column customers.phone", "no column products.colour",
		"ratings.customerNumber is date, but customers.customerNumber is int",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestALookupMustBeUnique(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := laketest.Shop()
	products := shop["products"]
	products.Rows = append(products.Rows, products.Rows[0])
	shop["products"] = products
	b.curate(t, night, shop)
	_, err := trainset.Write(context.Background(), b.store, b.shop, night, inProcess())
	require.ErrorContains(t, err, "table products: productCode S10_1678 is there twice")
}

func TestLookupsThatDoNotFitSayWhatToRaise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.curate(t, night, laketest.Shop())
	_, err := trainset.Write(context.Background(), b.store, b.shop, night, trainset.Settings{Engine: trainset.InProcess, Limits: trainset.Limits{Memory: 100, File: 10}})
	require.ErrorIs(t, err, trainset.ErrMemory)
	for _, want := range []string{"table products", "its 4 rows need about 1 MiB", "allowed are 0 MiB", "Raise the function's memory by 1 MB (stack parameter TrainsetMemory)"} {
		require.ErrorContains(t, err, want)
	}
}
