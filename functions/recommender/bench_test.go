package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/metrics"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

// memory is every sink and source of the recommender but the model: what is left is the recommender's own work.
type memory struct{ serving *activemodel.Serving }

func (m memory) Serving(context.Context) (*activemodel.Serving, error)      { return m.serving, nil }
func (m memory) LastServing() *activemodel.Serving                          { return m.serving }
func (memory) RecordActivity(context.Context, []vectorstore.Activity) error { return nil }
func (memory) Write(context.Context, [][]byte) ([]int, error)               { return nil, nil }
func (memory) Put(context.Context, string, io.Reader) error                 { return nil }

// benchmarkShop makes a recommender for n items of dimension d with all filters on, and a thousand events: sessions of one to ten items,
// half of them of known users.
func benchmarkShop(b testing.TB, n, d int) (*recommender, []events.KinesisEventRecord) {
	shop, err := dataset.Load("classicmodels")
	require.NoError(b, err)
	random := rand.New(rand.NewPCG(1, 2))
	vectors := func(n int) []float32 {
		v := make([]float32, n*d)
		for k := range v {
			v[k] = float32(random.NormFloat64() * 0.1)
		}
		return v
	}
	c := recommend.Catalog{Embeddings: vectors(n), Bias: make([]float32, n)}
	for k := range n {
		c.IDs, c.Names = append(c.IDs, fmt.Sprintf("S%07d", k)), append(c.Names, fmt.Sprintf("Item %d", k))
		c.Stock, c.Category = append(c.Stock, fmt.Sprint(k%20)), append(c.Category, fmt.Sprint("line ", k%7))
	}
	var sessions [][]int32
	for range n {
		sessions = append(sessions, []int32{random.Int32N(int32(n)), random.Int32N(int32(n)), random.Int32N(int32(n)), random.Int32N(int32(n))})
	}
	c.Together, err = cooccurrence.Count(sessions, n)
	require.NoError(b, err)
	regression, err := features.Fit([]features.Field{{Name: "country", Kind: features.Category}},
		[]features.Record{{"country": "France"}, {"country": "France"}, {"country": "Peru"}, {"country": "Peru"}}, vectors(4), d)
	require.NoError(b, err)
	model, err := recommend.NewModel("20261122T020000Z-0a1b2c3d", &features.Encoder{
		Dimension: d, Alpha0: 0.01, Lambda: 0.01, WeightUnit: 1, Items: n, Gramian: als.Gramian(c.Embeddings, d), MeanUser: vectors(1),
		UserSide: &regression, Decay: 0.6, Blend: 2,
	}, c, shop)
	require.NoError(b, err)
	users := map[string]*recommend.User{}
	for u := range 500 {
		user := &recommend.User{Embedding: vectors(1)}
		for k := range 100 {
			user.Bought = append(user.Bought, int32(k*n/100+u%(n/100)))
		}
		users[fmt.Sprint(u)] = user
	}
	sinks := memory{activemodel.Alone(&activemodel.Model{Answerer: activemodel.InMemory(model), Version: model.Version, Users: func(context.Context, []string) (map[string]*recommend.User, error) { return users, nil }})}
	var records []events.KinesisEventRecord
	for e := range 1000 {
		var history []string
		for range 1 + random.IntN(10) {
			history = append(history, fmt.Sprintf(`{"product_code":"S%07d","quantity":"%d","in_shopping_cart":%t}`, random.IntN(n), 1+random.IntN(3), random.IntN(4) == 0))
		}
		records = append(records, events.KinesisEventRecord{
			EventSource: "aws:kinesis", EventID: fmt.Sprintf("shardId-000000000000:4966%044d", e),
			Kinesis: events.KinesisRecord{Data: fmt.Appendf(nil,
				`{"session_id":"session-%d","customer_number":%d,"city":"Łódź","country":"Peru","credit_limit":21000.50,"browse_history":[%s]}`,
				e, e, strings.Join(history, ","))},
		})
	}
	return &recommender{
		names: shop.Event, models: sinks, activity: sinks, records: sinks, quarantine: sinks,
		metrics: metrics.New(io.Discard, time.Now), now: time.Now,
	}, records
}

// BenchmarkHandler is for profiles: the recommender without its servers, parse, fold in, the best 5 and 5 similar with filters, encode. Run it
// with -cpu 1; what is published comes from TestFigures.
func BenchmarkHandler(b *testing.B) {
	const batch = 100
	for _, size := range []struct{ n, d int }{{10_000, 64}, {100_000, 64}, {1_000_000, 64}} {
		b.Run(fmt.Sprintf("%dx%d", size.n, size.d), func(b *testing.B) {
			r, records := benchmarkShop(b, size.n, size.d)
			b.ReportAllocs()
			answered, before := 0, cpu()
			for b.Loop() {
				from := answered % len(records)
				if _, err := r.Handle(b.Context(), events.KinesisEvent{Records: records[from : from+batch]}); err != nil {
					b.Fatal(err)
				}
				answered += batch
			}
			b.ReportMetric(float64(answered)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(answered)/(cpu()-before).Seconds(), "events/cpu-s")
		})
	}
}
