package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/train"
)

const lakeRun = lake.Run("20261122T020000Z")

type bundle struct {
	trainer *trainer
	store   lake.Store
	metrics *bytes.Buffer
	set     lake.TrainingSuccess
	version string
}

// setup publishes a small shop of four tastes: ratings of 40 customers, curated customers (one without ratings) and products (two without).
func setup(t *testing.T) *bundle {
	t.Helper()
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	store := lake.NewDirectory(t.TempDir())

	text := func(name string, nullable bool) schema.Column {
		return schema.Column{Name: name, Kind: schema.String, Nullable: nullable}
	}
	money := func(name string) schema.Column {
		return schema.Column{Name: name, Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true}
	}
	id := schema.Column{Name: "customerNumber", Kind: schema.Int, Bits: 32}
	s := func(text string) schema.Value { return schema.Value{Bytes: []byte(text)} }

	var customers, products, ratings []schema.Row
	for c := range 41 {
		credit := schema.Value{Int: int64(c) * 100000}
		if c == 7 {
			credit = schema.Value{Null: true}
		}
		customers = append(customers, schema.Row{{Int: int64(100 + c)}, s(fmt.Sprintf("Kunde №%d", c)), s([]string{"Łódź", "Oslo"}[c%2]), s("Country"), credit})
	}
	for p := range 34 {
		line := p % 4
		products = append(products, schema.Row{s(fmt.Sprintf("S%02d", p)), s(fmt.Sprintf("Model %d", p)), s(fmt.Sprintf("Line %d", line)),
			s("1:18"), s("Vendor"), {Int: 9}, {Int: 1234}, {Int: 5678}})
	}
	for c := range 40 {
		for n := range 7 { // of the eight products of the customer's line
			ratings = append(ratings, schema.Row{{Int: int64(100 + c)}, s(fmt.Sprintf("S%02d", (c+n+c/4)%8*4+c%4)), {Int: int64(1 + (c+n)%5)}})
		}
	}
	parents := []lake.Parent{
		curated(t, store, "products", []schema.Column{text("productCode", false), text("productName", false), text("productLine", false),
			text("productScale", false), text("productVendor", false), {Name: "quantityInStock", Kind: schema.Int, Bits: 16}, money("buyPrice"), money("MSRP")}, products),
		curated(t, store, "customers", []schema.Column{id, text("customerName", false), text("city", false), text("country", false), money("creditLimit")}, customers),
	}
	b := &bundle{store: store, metrics: &bytes.Buffer{}}
	cols := []schema.Column{id, text("productCode", false), {Name: "productRating", Kind: schema.Int, Bits: 8}}
	f := file(t, store, lake.TrainingPart("classicmodels", lakeRun, 0), cols, ratings)
	b.set = lake.TrainingSuccess{
		Header: lake.Header{Format: lake.TrainingFormat, Dataset: "classicmodels", Run: lakeRun, Parents: parents},
		Table:  "ratings_ml_training", Columns: cols, Files: []lake.File{f}, Rows: f.Rows, Checksum: f.Checksum,
	}
	b.publish(t)
	b.trainer = &trainer{
		store: store, bucket: "millrace-lake", dataset: shop, metrics: metrics.New(b.metrics, time.Now), now: time.Now,
	}
	return b
}

// publish writes the training set's marker as b.set says and notes the version that it must lead to.
func (b *bundle) publish(t *testing.T) {
	t.Helper()
	key := lake.TrainingMarker("classicmodels", lakeRun)
	require.NoError(t, b.store.Delete(t.Context(), key))
	_, err := lake.Publish(t.Context(), b.store, key, b.set)
	require.NoError(t, err)
	_, marker, err := lake.ReadMarker[lake.TrainingSuccess](t.Context(), b.store, key, lake.TrainingFormat)
	require.NoError(t, err)
	b.version = lake.ModelVersion(lakeRun, marker)
}

func curated(t *testing.T, store lake.Store, table string, cols []schema.Column, rows []schema.Row) lake.Parent {
	t.Helper()
	f := file(t, store, lake.CuratedPart(table, lakeRun, "", 0), cols, rows)
	key := lake.CuratedMarker(table, lakeRun)
	_, err := lake.Publish(t.Context(), store, key, lake.CuratedSuccess{
		Header: lake.Header{Format: lake.CuratedFormat, Dataset: "classicmodels", Run: lakeRun},
		Table:  table, Columns: cols, Files: []lake.File{f}, Rows: f.Rows, Checksum: f.Checksum,
	})
	require.NoError(t, err)
	_, marker, err := lake.ReadMarker[lake.CuratedSuccess](t.Context(), store, key, lake.CuratedFormat)
	require.NoError(t, err)
	return marker
}

func file(t *testing.T, store lake.Store, key string, cols []schema.Column, rows []schema.Row) lake.File {
	t.Helper()
	sum := checksum.New(cols)
	f, err := lake.Write(t.Context(), store, key, func(w io.Writer) error {
		out, err := parquetwriter.New(w, cols)
		if err != nil {
			return err
		}
		for _, row := range rows {
			sum.Add(row)
			if err := out.Append(row); err != nil {
				return err
			}
		}
		return out.Close()
	})
	require.NoError(t, err)
	f.Rows, f.Checksum = sum.Sum().Rows, sum.Sum()
	return f
}

func event(t *testing.T, name string) (e events.EventBridgeEvent) {
	t.Helper()
	text, err := os.ReadFile("../../events/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &e))
	return e
}

func (b *bundle) objects(t *testing.T) map[string]string {
	t.Helper()
	keys, err := b.store.List(t.Context(), "models/")
	require.NoError(t, err)
	all := map[string]string{}
	for _, key := range keys {
		body, _, err := b.store.Get(t.Context(), key)
		require.NoError(t, err)
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		all[key] = string(text)
	}
	return all
}

func TestTrainingSetBecomesAModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))

	a, err := model.Open(t.Context(), b.store, lake.ModelMarker(b.version))
	require.NoError(t, err)
	m := a.Manifest
	require.Equal(t, lake.Candidate, m.State, m.Reason)
	require.Equal(t, lakeRun, m.Run)
	require.Equal(t, "classicmodels", m.Dataset)
	require.Equal(t, lake.TrainingMarker("classicmodels", lakeRun), m.Parents[0].Key)
	require.Equal(t, lake.ModelCounts{Items: 34, Users: 41, Interactions: 280}, m.Counts)

	var cold []string
	for e, err := range a.Items(t.Context()) {
		require.NoError(t, err)
		if e.Cold {
			cold = append(cold, e.ID+" "+e.Name)
		}
		if e.ID == "S05" {
			require.Equal(t, features.Record{"productLine": "Line 1", "productScale": "1:18", "productVendor": "Vendor", "quantityInStock": "9", "buyPrice": "12.34", "MSRP": "56.78"}, e.Features)
		}
	}
	require.Equal(t, []string{"S32 Model 32", "S33 Model 33"}, cold)
	for e, err := range a.Users(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, e.ID == "140", e.Cold)
		if e.ID == "107" { // its credit limit is NULL
			require.Equal(t, features.Record{"city": "Oslo", "country": "Country"}, e.Features)
			require.Equal(t, "Kunde №7", e.Name)
		}
	}
	encoder, err := a.Encoder(t.Context())
	require.NoError(t, err)
	require.True(t, encoder.HasUserFeatures(features.Record{"city": "Łódź"}))
	lineage, err := lake.Trace(t.Context(), b.store, lake.TrainingMarker("classicmodels", lakeRun))
	require.NoError(t, err)
	require.True(t, lineage.Intact)
	require.Contains(t, b.metrics.String(), `"ModelRecall"`)
}

func TestSecondDeliveryIsANoOp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	success := event(t, "trainer-training-success.json")
	require.NoError(t, b.trainer.Handle(t.Context(), success))
	first := b.objects(t)
	require.Len(t, first, 6)
	b.metrics.Reset()
	require.NoError(t, b.trainer.Handle(t.Context(), success))
	require.Equal(t, first, b.objects(t))
	require.Zero(t, b.metrics.Len(), "nothing was trained, nothing is counted")
}

func TestRetryAfterACrashWritesTheSameObjects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	success := event(t, "trainer-training-success.json")
	require.NoError(t, b.trainer.Handle(t.Context(), success))
	first := b.objects(t)
	require.NoError(t, b.store.Delete(t.Context(), lake.ModelMarker(b.version)))
	require.NoError(t, b.store.Put(t.Context(), lake.ModelDir(b.version)+model.ItemsFile, strings.NewReader("half")))
	require.NoError(t, b.trainer.Handle(t.Context(), success))
	require.Equal(t, first, b.objects(t))
}

// activate publishes a model of the given interactions beside the setup's and says that it is the active one.
func (b *bundle) activate(t *testing.T, rows func(user, product int) bool) {
	t.Helper()
	x := &train.Interactions{}
	for c := range 40 {
		for p := range 32 {
			if rows(c, p) {
				require.NoError(t, x.Add(fmt.Sprint(100+c), fmt.Sprintf("S%02d", p), 1))
			}
		}
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: x}, train.Settings{Dimension: 4, Epochs: 4}, nil)
	require.NoError(t, err)
	manifest, _, err := model.Write(t.Context(), model.Destination{Store: b.store, Dir: lake.ModelDir("yesterday"), Version: "yesterday", Dataset: "classicmodels"}, content)
	require.NoError(t, err)
	require.NoError(t, lake.WriteActiveModel(t.Context(), b.store, func() (lake.ActiveModel, error) {
		return lake.ActiveModel{Version: manifest.Version, Manifest: lake.Parent{Key: lake.ModelMarker("yesterday")}, Since: time.Unix(1, 0)}, nil
	}))
}

func TestTheOperatorIsToldOnceThatAModelIsRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ratings []schema.Row
	random := rand.New(rand.NewPCG(1, 1))
	for c := range 40 { // nothing but popularity can be learned
		for range 7 {
			x := random.Float64()
			ratings = append(ratings, schema.Row{{Int: int64(100 + c)}, {Bytes: fmt.Appendf(nil, "S%02d", int(32*x*x))}, {Int: 3}})
		}
	}
	b.set.Files = []lake.File{file(t, b.store, lake.TrainingPart("classicmodels", lakeRun, 1), b.set.Columns, ratings)}
	b.publish(t)
	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))
	a, err := model.Open(t.Context(), b.store, lake.ModelMarker(b.version))
	require.NoError(t, err)
	require.Equal(t, lake.Rejected, a.Manifest.State)
	require.Contains(t, b.metrics.String(), `"ModelsRejected":1`)
	body, first, err := b.store.Get(t.Context(), lake.ModelRejection(b.version))
	require.NoError(t, err)
	var told struct{ Version, Reason string }
	require.NoError(t, json.NewDecoder(body).Decode(&told))
	require.Equal(t, b.version, told.Version)
	require.Equal(t, a.Manifest.Reason, told.Reason)

	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))
	_, again, err := b.store.Get(t.Context(), lake.ModelRejection(b.version))
	require.NoError(t, err)
	require.Equal(t, first, again, "the operator is told once")
	require.NoError(t, b.store.Delete(t.Context(), lake.ModelRejection(b.version)))
	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))
	_, _, err = b.store.Get(t.Context(), lake.ModelRejection(b.version))
	require.NoError(t, err, "a crash after the manifest")
}

func TestAModelThatIsAsGoodAsTheActiveOneReplacesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.activate(t, func(user, product int) bool { return product%4 == user%4 && (user+product/4)%8 < 6 })
	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))
	a, err := model.Open(t.Context(), b.store, lake.ModelMarker(b.version))
	require.NoError(t, err)
	require.Equal(t, lake.Candidate, a.Manifest.State, a.Manifest.Reason)
	m, err := a.Metrics(t.Context())
	require.NoError(t, err)
	require.Equal(t, "yesterday", m.Active.Version)
	require.NotZero(t, m.Active.Model.NDCG)
	require.NotNil(t, m.ColdStart.UserSide.FromFeatures)
	require.NotNil(t, m.ColdStart.ItemSide.FoldedIn)
}

func TestAnActiveModelFromElsewhereIsNoObstacle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, lake.WriteActiveModel(t.Context(), b.store, func() (lake.ActiveModel, error) {
		return lake.ActiveModel{Version: "gone", Manifest: lake.Parent{Key: lake.ModelMarker("gone")}, Since: time.Unix(1, 0)}, nil
	}))
	require.NoError(t, b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json")))
	a, err := model.Open(t.Context(), b.store, lake.ModelMarker(b.version))
	require.NoError(t, err)
	require.Equal(t, lake.Candidate, a.Manifest.State)
}

func TestATrainingThatDoesNotFitSaysWhatItTakesBeforeItStarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.trainer.memory = 1 << 20
	err := b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json"))
	require.ErrorContains(t, err, "a model of 280 rows, 41 users and 34 items takes up to")
	require.ErrorContains(t, err, "deploy with TrainerMemory=")
	b.set.Rows = 400_000_000
	b.publish(t)
	b.trainer.memory = largestFunction
	err = b.trainer.Handle(t.Context(), event(t, "trainer-training-success.json"))
	require.ErrorContains(t, err, "deploy with TrainerImage")
	require.Empty(t, b.objects(t))

	b.set.Rows = 280
	b.publish(t)
	b.trainer.memory = 3008 << 20
	require.NoError(t, b.trainer.Train(t.Context(), lake.TrainingMarker("classicmodels", lakeRun)), "as the container does")
	require.NotEmpty(t, b.objects(t))
}

func TestSearchEndsInTimeToPublish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	clock := time.Now()
	b.trainer.now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	ctx, cancel := context.WithDeadline(t.Context(), clock.Add(15*time.Minute))
	defer cancel()
	require.NoError(t, b.trainer.Handle(ctx, event(t, "trainer-training-success.json")))
	a, err := model.Open(t.Context(), b.store, lake.ModelMarker(b.version))
	require.NoError(t, err)
	m, err := a.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, m.TuningStopped, "is spent")
	require.Less(t, len(m.Trials), 6)
}

func TestBadEventsAndInputsPublishNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event  string
		damage func(t *testing.T, b *bundle)
		want   string
	}{
		"not a marker":   {"trainer-not-a-marker.json", nil, `key "training/classicmodels/dt=2026-11-22/part-00000.parquet": not a marker`},
		"foreign path":   {"trainer-foreign-path.json", nil, "not a marker"},
		"another bucket": {"trainer-other-bucket.json", nil, `event for bucket "somebody-elses-bucket"`},
		"no such object": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			require.NoError(t, b.store.Delete(t.Context(), lake.TrainingMarker("classicmodels", lakeRun)))
		}, "no such object"},
		"another dataset": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			b.set.Dataset = "another"
			b.publish(t)
		}, `is of dataset "another", this function's is "classicmodels"`},
		"damaged rows": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			require.NoError(t, b.store.Put(t.Context(), b.set.Files[0].Key, strings.NewReader("PAR1")))
		}, "it is damaged"},
		"rows that the marker does not count": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			b.set.Files[0].Rows++
			b.publish(t)
		}, "not those that its marker records"},
		"no products among the parents": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			b.set.Parents = b.set.Parents[1:]
			b.publish(t)
		}, "names no curated table products among its parents"},
		"products were replaced": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			require.NoError(t, b.store.Put(t.Context(), b.set.Parents[0].Key, strings.NewReader(`{"format":"millrace/curated/1"}`)))
		}, "a newer run replaced it"},
		"no rating column": {"trainer-training-success.json", func(t *testing.T, b *bundle) {
			b.set.Columns = b.set.Columns[:2]
			b.publish(t)
		}, `no column "productRating"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if c.damage != nil {
				c.damage(t, b)
			}
			require.ErrorContains(t, b.trainer.Handle(t.Context(), event(t, c.event)), c.want)
			require.Empty(t, b.objects(t))
		})
	}
}
