package trainset_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/trainset"
)

// fakeAthena answers as Athena would if its join were the in-process one; that the SQL is the same join is tested with the
// emulated Athena (local/endtoend), which knows no UNLOAD.
type fakeAthena struct {
	t       *testing.T
	store   lake.Store
	columns []schema.Column
	rows    []schema.Row
	numbers []int // what it counts

	counted    []string
	statements []string
	ended      map[string]error // by token, of statements that were run
	fail       []error          // of the next statements
}

func (f *fakeAthena) Query(_ context.Context, query string) ([][]*string, error) {
	f.counted = append(f.counted, query)
	row := make([]*string, len(f.numbers))
	for i, n := range f.numbers {
		text := strconv.Itoa(n)
		row[i] = &text
	}
	return [][]*string{row}, nil
}

var target = regexp.MustCompile(`^UNLOAD \(SELECT .*\) TO 's3://millrace-lake/(.*/)' WITH \(format = 'PARQUET', compression = 'ZSTD'\)$`)

func (f *fakeAthena) Once(_ context.Context, statement, token string) error {
	require.GreaterOrEqual(f.t, len(token), 32)
	require.LessOrEqual(f.t, len(token), 128)
	if err, ran := f.ended[token]; ran {
		var failed *athena.QueryError
		if errors.As(err, &failed) {
			earlier := *failed
			earlier.Earlier = true
			return &earlier
		}
		return err
	}
	f.statements = append(f.statements, statement)
	match := target.FindStringSubmatch(statement)
	require.NotNil(f.t, match, statement)
	var err error
	if len(f.fail) > 0 {
		err, f.fail = f.fail[0], f.fail[1:]
	}
	if !errors.Is(err, athena.ErrRunning) {
		f.ended[token] = err
	}
	half := len(f.rows) / 2 // in two files, of which a failed query leaves one
	laketest.Unload(f.t, f.store, match[1]+"20261122_0_b", f.columns, f.rows[:half])
	if err == nil {
		laketest.Unload(f.t, f.store, match[1]+"20261122_0_a", f.columns, f.rows[half:])
	}
	return err
}

// setupAthena curates the awkward shop and returns what joining in process gives, with an Athena that gives the same.
func setupAthena(t *testing.T) (bundle, lake.TrainingSuccess, *fakeAthena, trainset.Settings) {
	t.Helper()
	shop, days, runs := laketest.Awkward()
	b := bundle{lake.NewDirectory(t.TempDir()), shop}
	for i, tables := range days {
		for _, table := range tables {
			b.curate(t, runs[i], map[string]laketest.Table{table.Name: table})
		}
	}
	// Base rows, matches in From and in users, joined; values that are twice in them; rows of the days of Order, From and users.
	want, f, settings := b.athena(t, 9, 6, 7, 5, 0, 0, 11, 5, 4)
	return b, want, f, settings
}

// athena builds the training set in process, takes the marker away, and returns an Athena that would give the same.
func (b bundle) athena(t *testing.T, numbers ...int) (lake.TrainingSuccess, *fakeAthena, trainset.Settings) {
	t.Helper()
	want := b.build(t, night).Marker
	f := &fakeAthena{t: t, store: b.store, columns: want.Columns, numbers: numbers, ended: map[string]error{}}
	for _, file := range want.Files {
		for row, err := range laketable.Rows(t.Context(), b.store, file, want.Columns) {
			require.NoError(t, err)
			f.rows = append(f.rows, row.Clone())
		}
	}
	require.NoError(t, b.store.Delete(t.Context(), lake.TrainingMarker("classicmodels", night)))
	settings := inProcess()
	settings.Engine, settings.Athena = trainset.InAthena, &trainset.Athena{Queries: f, Database: "shop", Location: "s3://millrace-lake/"}
	return want, f, settings
}

func TestIncrementalTablesAreJoinedAsTheyAre(t *testing.T) {
	t.Parallel()
	b, want, _, _ := setupAthena(t)
	require.EqualValues(t, 5, want.Rows)
	require.Equal(t, map[string]int64{"From": 3, "users": 2}, want.Orphans)
	var keys []string
	for _, text := range b.texts(t, want) {
		fields := strings.Split(text, "|")
		keys = append(keys, strings.Join(append(fields[:4:4], fields[15]), "|"))
	}
	require.ElementsMatch(t, []string{
		"1|1|1|a|new \n\t;--", "1|2|1|á|NULL", "2|-32768|3|á|NULL", "4|1|1||nothing", "5|1|2|a|new \n\t;--",
	}, keys)
	var parents []string
	for _, p := range want.Parents {
		parents = append(parents, p.Key)
	}
	require.Equal(t, []string{
		"curated/Order/dt=2026-11-22/_SUCCESS", "curated/Order/dt=2026-11-21/_SUCCESS", "curated/Order/dt=2026-11-20/_SUCCESS",
		"curated/From/dt=2026-11-22/_SUCCESS", "curated/From/dt=2026-11-21/_SUCCESS", "curated/From/dt=2026-11-20/_SUCCESS",
		"curated/users/dt=2026-11-22/_SUCCESS",
	}, parents, "every day that the rows came from")
	lineage, err := lake.Trace(t.Context(), b.store, lake.TrainingMarker("classicmodels", night))
	require.ErrorIs(t, err, lake.ErrNotFound, "%v", lineage) // setupAthena takes the marker away
}

func TestAMissingDayOfAnIncrementalTableIsRefused(t *testing.T) {
	t.Parallel()
	b, _, _, _ := setupAthena(t)
	require.NoError(t, b.store.Delete(t.Context(), "curated/Order/dt=2026-11-21/_SUCCESS"))
	_, err := trainset.Write(t.Context(), b.store, b.shop, night, inProcess())
	require.ErrorIs(t, err, asof.ErrRefresh)
	require.ErrorContains(t, err, "table Order as of run 20261122T020000Z: there is a gap")
}

func TestADayReplacedMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	b, want, _, _ := setupAthena(t)
	_, days, runs := laketest.Awkward()
	changed := days[0][0]
	changed.Rows[0][4].Bytes = []byte("changed")
	store := &replacing{Store: b.store, prefix: "training/", replace: func() {
		require.NoError(t, b.store.Delete(context.Background(), lake.RawMarker("Order", runs[0])))
		b.curate(t, runs[0], map[string]laketest.Table{"Order": changed})
	}}
	result, err := trainset.Write(t.Context(), store, b.shop, night, inProcess())
	require.NoError(t, err)
	require.Equal(t, want.Rows, result.Marker.Rows)
	require.NotEqual(t, want.Checksum, result.Marker.Checksum)
	require.Contains(t, strings.Join(b.texts(t, result.Marker), "\n"), "|changed|")
}

func TestKeysOfChangedRowsAreBounded(t *testing.T) {
	t.Parallel()
	b, _, _, _ := setupAthena(t)
	settings := inProcess()
	settings.Limits.Memory = 4000 // the lookups fit
	_, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	settings.Limits.Memory = 2500
	require.NoError(t, b.store.Delete(t.Context(), lake.TrainingMarker("classicmodels", night)))
	_, err = trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.True(t, errors.Is(err, asof.ErrMemory) || errors.Is(err, trainset.ErrMemory), "%v", err)
}

// same compares two publications in all but the engine and the files' bytes.
func same(t *testing.T, want, got lake.TrainingSuccess) {
	t.Helper()
	want.Files, got.Files, want.Engine, got.Engine, want.EngineReason, got.EngineReason = nil, nil, "", "", "", ""
	require.Equal(t, want, got)
}

func TestAthenaPublishesTheSameTrainingSet(t *testing.T) {
	t.Parallel()
	b, want, f, settings := setupAthena(t)
	texts := b.texts(t, want)
	result, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	require.True(t, result.Published)
	same(t, want, result.Marker)
	require.Equal(t, "athena", result.Marker.Engine)
	require.ElementsMatch(t, texts, b.texts(t, result.Marker))
	keys, err := b.store.List(t.Context(), "training/")
	require.NoError(t, err)
	require.Equal(t, []string{lake.TrainingMarker("classicmodels", night), lake.TrainingPart("classicmodels", night, 0)}, keys, "what Athena wrote is gone")
	require.Len(t, f.statements, 1)
	require.Len(t, f.counted, 1)

	result, err = trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	require.False(t, result.Published)
	require.Len(t, f.statements, 1, "a second delivery asks Athena nothing")
	require.Len(t, f.counted, 1)
}

// failing is a store that refuses the first write to a key.
type failing struct {
	lake.Store
	prefix string
	failed bool
}

func (s *failing) Put(ctx context.Context, key string, r io.Reader) error {
	if !s.failed && strings.HasPrefix(key, s.prefix) {
		s.failed = true
		return errors.New("the network is gone")
	}
	return s.Store.Put(ctx, key, r)
}

func TestAnInvocationAfterACrashReadsWhatAthenaWroteAlready(t *testing.T) {
	t.Parallel()
	b, want, f, settings := setupAthena(t)
	store := &failing{Store: b.store, prefix: lake.TrainingPart("classicmodels", night, 0)}
	_, err := trainset.Write(t.Context(), store, b.shop, night, settings)
	require.ErrorContains(t, err, "the network is gone")
	result, err := trainset.Write(t.Context(), store, b.shop, night, settings)
	require.NoError(t, err)
	same(t, want, result.Marker)
	require.Len(t, f.statements, 1, "one UNLOAD for both")
}

func TestAQueryThatOutlivesTheInvocationIsAwaitedByTheNext(t *testing.T) {
	t.Parallel()
	b, _, f, settings := setupAthena(t)
	f.fail = []error{athena.ErrRunning}
	_, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.ErrorIs(t, err, athena.ErrRunning)
	_, err = trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	require.Equal(t, f.statements[0], f.statements[1])
}

func TestAPublicationTakenAwayIsUnloadedAgain(t *testing.T) {
	t.Parallel()
	b, want, f, settings := setupAthena(t)
	for unloads := 1; unloads <= 3; unloads++ {
		result, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
		require.NoError(t, err)
		same(t, want, result.Marker)
		require.Len(t, f.statements, unloads)
		require.NoError(t, b.store.Delete(t.Context(), lake.TrainingMarker("classicmodels", night)))
	}
}

func TestAFailedUnloadIsToldAndPassedOverByTheNextInvocation(t *testing.T) {
	t.Parallel()
	b, want, f, settings := setupAthena(t)
	f.fail = []error{&athena.QueryError{ID: "q", State: "FAILED", Reason: "bytes scanned limit was exceeded"}}
	_, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.ErrorContains(t, err, "athena query q: FAILED: bytes scanned limit was exceeded")
	require.ErrorContains(t, err, "BytesScannedCutoffPerQuery")
	keys, err := b.store.List(t.Context(), "training/classicmodels/dt=2026-11-22/_unload-")
	require.NoError(t, err)
	require.Len(t, keys, 1, "Athena leaves what a failed query wrote")
	f.fail = []error{&athena.QueryError{ID: "q", State: "FAILED", Reason: "HIVE_PATH_ALREADY_EXISTS: Target directory for table"}}
	result, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	same(t, want, result.Marker)
	require.Len(t, f.statements, 3)
	keys, err = b.store.List(t.Context(), "training/")
	require.NoError(t, err)
	require.Len(t, keys, 2)
}

func TestWhatAthenaReadsAndWritesIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*fakeAthena)
		want   string
	}{
		"a file that no marker lists": {func(f *fakeAthena) { f.numbers[6] = 12 }, "table Order: Athena reads 12 rows of its days, their markers list 11"},
		"a lookup that multiplies":    {func(f *fakeAthena) { f.numbers[4] = 1 }, "table From: 1 values of Code are there twice"},
		"a row lost":                  {func(f *fakeAthena) { f.rows = f.rows[1:] }, "Athena wrote 4 rows, it counted 5"},
		"all rows lost":               {func(f *fakeAthena) { f.rows = nil }, "Athena wrote 0 rows, it counted 5"},
		"another type":                {func(f *fakeAthena) { f.columns[0].Kind = schema.String }, "column group is int, but Athena wrote"},
		"a coarser decimal":           {func(f *fakeAthena) { f.columns[6].Scale = 3 }, "column exact is decimal, but Athena wrote"},
		"a column lost":               {func(f *fakeAthena) { f.columns = f.columns[:19] }, "there is no column c19 for mask"},
		"a number lost":               {func(f *fakeAthena) { f.numbers = f.numbers[1:] }, "gave 8 numbers, want 9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _, f, settings := setupAthena(t)
			f.columns = slices.Clone(f.columns)
			c.change(f)
			if f.columns[0].Kind == schema.String {
				for _, row := range f.rows {
					row[0].Bytes = []byte("x")
				}
			}
			_, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
			require.ErrorContains(t, err, c.want)
			_, _, err = b.store.Get(t.Context(), lake.TrainingMarker("classicmodels", night))
			require.ErrorIs(t, err, lake.ErrNotFound)
		})
	}
}

func TestAutoTakesTheProcessWhileItFits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*trainset.Settings)
		engine string
		reason string
	}{
		"it fits":            {func(*trainset.Settings) {}, "lambda", "the joined tables need about 1 MiB of the 769 MiB allowed"},
		"too large":          {func(s *trainset.Settings) { s.Limits.Memory = 1000 }, "athena", "table users: the joined tables do not fit into memory: its 4 rows need about 1 MiB"},
		"too slow":           {func(s *trainset.Settings) { s.Limits.Time = 1 }, "athena", "table Order: its 11 rows take about"},
		"it is set to this":  {func(s *trainset.Settings) { s.Engine, s.Limits.Memory = trainset.InProcess, 4000 }, "lambda", "it is set"},
		"it is set to that":  {func(s *trainset.Settings) { s.Engine = trainset.InAthena }, "athena", "it is set"},
		"there is no Athena": {func(s *trainset.Settings) { s.Limits.Time, s.Athena = 1, nil }, "lambda", "but Athena cannot join them: there is no Athena here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, want, _, settings := setupAthena(t)
			settings.Engine = trainset.Auto
			c.change(&settings)
			result, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
			require.NoError(t, err)
			same(t, want, result.Marker)
			require.Equal(t, c.engine, result.Marker.Engine)
			require.Contains(t, result.Marker.EngineReason, c.reason)
		})
	}
}

func TestAnEstimateThatWasTooLowEndsInAthena(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tables := laketest.Shop()
	products := tables["products"]
	for i := range 200 { // in a file each text is there once
		products.Rows = append(products.Rows, laketest.Row("new"+strconv.Itoa(i), "", nil, strings.Repeat("x", 10_000), "", 0, 0, 0))
	}
	tables["products"] = products
	b.curate(t, night, tables)
	want, f, settings := b.athena(t, 8, 5, 6, 4, 0, 0, 8, 204, 4)
	settings.Engine, settings.Limits.Memory = trainset.Auto, 1<<20
	result, err := trainset.Write(t.Context(), b.store, b.shop, night, settings)
	require.NoError(t, err)
	same(t, want, result.Marker)
	require.Equal(t, "athena", result.Marker.Engine)
	require.Contains(t, result.Marker.EngineReason, "table products: the joined tables do not fit into memory: its 204 rows need about 2 MiB")
	require.Len(t, f.statements, 1)
}

func TestAthenaIsRefusedWhatItWouldChange(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*schema.Column){
		"Order.at has 6 digits of the second, Athena reads 3": func(c *schema.Column) { c.Fraction = 6 },
		"Order.at is decimal(65,30), Athena's decimals end at 38 digits": func(c *schema.Column) {
			*c = schema.Column{Name: "at", Kind: schema.Decimal, Precision: 65, Scale: 30, Nullable: true}
		},
		"Order.DT is hidden by the partition of that name": func(c *schema.Column) { c.Name = "DT" },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			shop, days, runs := laketest.Awkward()
			b := bundle{lake.NewDirectory(t.TempDir()), shop}
			for i, tables := range days {
				for _, table := range tables {
					if table.Name == "Order" {
						table.Columns = slices.Clone(table.Columns)
						change(&table.Columns[8])
						for _, row := range table.Rows {
							row[8] = schema.Value{Null: true}
						}
						for n, column := range shop.Training.Columns {
							if column == "Order.at" {
								shop.Training.Columns[n] = "Order." + table.Columns[8].Name
							}
						}
					}
					b.curate(t, runs[i], map[string]laketest.Table{table.Name: table})
				}
			}
			settings := inProcess()
			settings.Engine, settings.Athena = trainset.InAthena, &trainset.Athena{}
			_, err := trainset.Write(t.Context(), b.store, shop, night, settings)
			require.ErrorContains(t, err, want)
			settings.Engine, settings.Limits.Time = trainset.Auto, time.Nanosecond
			result, err := trainset.Write(t.Context(), b.store, shop, night, settings)
			require.NoError(t, err)
			require.Equal(t, "lambda", result.Marker.Engine)
			require.Contains(t, result.Marker.EngineReason, want)
		})
	}
}

func TestTheStatementIsTheDatasetsJoin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.shop.Training.Columns = []string{"customers.city", "products.productLine", "ratings.productRating"}
	b.curate(t, night, laketest.Shop())
	f := &fakeAthena{t: t, store: b.store, ended: map[string]error{}, numbers: []int{8, 5, 6, 4, 0, 0, 8, 4, 4}}
	_, err := trainset.Write(t.Context(), b.store, b.shop, night, trainset.Settings{
		Engine: trainset.InAthena, Limits: inProcess().Limits, Athena: &trainset.Athena{Queries: f, Database: "shop", Location: "s3://millrace-lake/"},
	})
	require.ErrorContains(t, err, "there is no column c0") // this Athena wrote empty files
	selected, _, _ := strings.Cut(f.statements[0], ") TO")
	require.Equal(t, `UNLOAD (SELECT l1."city" AS c0, l0."productline" AS c1, b."productrating" AS c2`+
		` FROM (SELECT "customernumber", "productcode", "productrating" FROM "shop"."ratings" WHERE "dt" IN ('2026-11-22')) AS b`+
		` JOIN (SELECT "productcode", "productline" FROM "shop"."products" WHERE "dt" IN ('2026-11-22')) AS l0 ON b."productcode" = l0."productcode"`+
		` JOIN (SELECT "customernumber", "city" FROM "shop"."customers" WHERE "dt" IN ('2026-11-22')) AS l1 ON b."customernumber" = l1."customernumber"`, selected)
}

func TestEnginesAreNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"lambda", "athena", "auto"} {
		engine, err := trainset.ParseEngine(name)
		require.NoError(t, err)
		require.EqualValues(t, name, engine)
	}
	_, err := trainset.ParseEngine("spark")
	require.ErrorContains(t, err, `engine "spark": want lambda, athena or auto`)
}
