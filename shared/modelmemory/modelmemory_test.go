package modelmemory_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelmemory"
	"github.com/millrace/millrace/shared/recommend"
)

func TestAnArtifactAnswersFromMemoryByTheShopsRules(t *testing.T) {
	t.Parallel()
	seen, err := als.Collect(1, 4, []als.Interaction{{Item: 3, Weight: 1}, {Item: 0, Weight: 2}})
	require.NoError(t, err)
	together, err := cooccurrence.Count([][]int32{{0, 2}}, 4)
	require.NoError(t, err)
	item := func(id, stock string, cold bool) model.Entity {
		return model.Entity{ID: id, Name: "Name of " + id, Embedding: []float32{1e-12, 0}, Cold: cold, Features: features.Record{"stock": stock, "line": "one"}}
	}
	to := model.Destination{Store: lake.NewDirectory(t.TempDir()), Dir: lake.ModelDir("v1"), Version: "v1", Dataset: "shop"}
	_, _, err = model.Write(t.Context(), to, model.Content{
		Items: []model.Entity{item("a", "1", false), item("b", "1", true), item("c", "1", false), item("d", "1", false), item("e", "1", false), item("f", "0", true)},
		Users: []model.Entity{{ID: "103", Name: "One", Embedding: []float32{1, 2}, Features: features.Record{}}},
		Encoder: features.Encoder{
			Format: features.EncoderFormat, Dimension: 2, Alpha0: .1, Lambda: .01, Items: 4, Users: 1, WeightUnit: 1,
			Gramian: []float32{1, 0, 0, 1}, MeanUser: []float32{2, 3}, Blend: 1,
		},
		Metrics:       model.Metrics{State: lake.Candidate},
		Seen:          model.Seen{Users: []string{"103"}, Items: []string{"a", "c", "d", "e"}, Matrix: seen},
		Cooccurrences: together,
	})
	require.NoError(t, err)
	artifact, err := model.Open(t.Context(), to.Store, lake.ModelMarker("v1"))
	require.NoError(t, err)
	shop := &dataset.Dataset{
		Event: dataset.Event{Weights: dataset.Weights{View: 1, Cart: 1, Decay: 1}},
		Recommendations: dataset.Recommendations{
			Hide: dataset.HideBought, InStock: "stock", PerCategory: dataset.PerCategory{Column: "line", AtMost: 2},
		},
	}
	m, err := modelmemory.Read(t.Context(), artifact, shop)
	require.NoError(t, err)
	require.Nil(t, m.User("104"))
	require.Equal(t, []int32{0, 4}, m.User("103").Bought, "a and e, by their places among all items")

	ids := func(r recommend.Request) (list []string) {
		r.Limit = 6
		a, err := m.Answer(r)
		require.NoError(t, err)
		for _, i := range a.Items {
			list = append(list, i.ID)
		}
		return list
	}
	require.Equal(t, []string{"b", "c"}, ids(recommend.Request{User: m.User("103")}), "not bought, in stock, two of a line")
	require.Equal(t, []string{"d", "b"}, ids(recommend.Request{History: []event.Entry{{Item: "a"}}}), "d follows a")
}
