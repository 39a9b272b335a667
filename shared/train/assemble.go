package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/model"
)

// assemble joins the factors with the entities: whoever has no interactions gets an embedding from features.
func assemble(in Input, p *problem, all als.Interactions, f als.Factors, metrics model.Metrics) (model.Content, error) {
	users, userRegression, err := entities(in.Users, in.UserFields, p.users, evaluate.WeightSums(all), f.Users, f.Dimension)
	if err != nil {
		return model.Content{}, fmt.Errorf("users: %w", err)
	}
	items, itemRegression, err := entities(in.Items, in.ItemFields, p.items, evaluate.WeightSums(all.Transpose()), f.Items, f.Dimension)
	if err != nil {
		return model.Content{}, fmt.Errorf("items: %w", err)
	}
	if p.sessions {
		users = nil // nobody comes back as the session they were
	}
	metrics.ColdStart.Users, metrics.ColdStart.Items = cold(users), cold(items)
	if userRegression != nil {
		metrics.ColdStart.UsersExplained = &userRegression.Explained
	}
	if itemRegression != nil {
		metrics.ColdStart.ItemsExplained = &itemRegression.Explained
	}
	var together *cooccurrence.Table
	if metrics.Settings.Blend > 0 {
		if together, err = p.together(p.rows); err != nil {
			return model.Content{}, err
		}
	}
	return model.Content{
		Cooccurrences: together,
		Users:         users, Items: items, Metrics: metrics,
		Encoder: features.Encoder{
			Format: features.EncoderFormat, Dimension: f.Dimension,
			Alpha0: metrics.Settings.Alpha0, Lambda: metrics.Settings.Lambda, WeightUnit: metrics.Settings.WeightUnit, Decay: metrics.Settings.Decay, Blend: metrics.Settings.Blend,
			Items: len(p.items), Users: len(p.users),
			Gramian: als.Gramian(f.Items, f.Dimension), MeanUser: meanRow(f.Users, f.Dimension),
			UserSide: userRegression, ItemSide: itemRegression,
		},
		Seen: model.Seen{Users: p.users, Items: p.items, Matrix: all},
	}, nil
}

// entities lists the union of a table's entities and those that only interactions name, ascending by id.
func entities(table []Entity, fields []features.Field, trained []string, weights []float64, embeddings []float32, d int) ([]model.Entity, *features.Regression, error) {
	list := make([]model.Entity, 0, len(table)+len(trained))
	known := make(map[string]features.Record, len(table))
	for _, e := range table {
		if _, twice := known[e.ID]; twice || e.ID == "" {
			return nil, nil, fmt.Errorf("id %q is empty or there twice", e.ID)
		}
		known[e.ID] = e.Values
		if _, found := slices.BinarySearch(trained, e.ID); !found {
			list = append(list, model.Entity{ID: e.ID, Name: cmp.Or(e.Name, e.ID), Cold: true, Features: e.Values})
		}
	}
	names := make(map[string]string, len(table))
	for _, e := range table {
		names[e.ID] = e.Name
	}
	records := make([]features.Record, len(trained))
	for n, id := range trained {
		records[n] = known[id]
		list = append(list, model.Entity{
			ID: id, Name: cmp.Or(names[id], id), Features: known[id],
			Embedding: embeddings[n*d : (n+1)*d], Bias: float32(math.Log1p(weights[n])),
		})
	}
	var regression *features.Regression
	if len(fields) > 0 {
		fitted, err := features.Fit(fields, records, embeddings, d)
		if err != nil {
			return nil, nil, err
		}
		regression = &fitted
	}
	mean := meanRow(embeddings, d)
	for k := range list {
		switch e := &list[k]; {
		case !e.Cold:
		case regression != nil:
			e.Embedding = regression.Predict(e.Features)
		default:
			e.Embedding = mean
		}
	}
	slices.SortFunc(list, func(a, b model.Entity) int { return cmp.Compare(a.ID, b.ID) })
	return list, regression, nil
}

func cold(list []model.Entity) (n int) {
	for _, e := range list {
		if e.Cold {
			n++
		}
	}
	return n
}

// meanRow is the mean of the rows of a row-major matrix.
func meanRow(matrix []float32, d int) []float32 {
	sums := make([]float64, d)
	for k, x := range matrix {
		sums[k%d] += float64(x)
	}
	mean := make([]float32, d)
	for j, s := range sums {
		mean[j] = float32(s / float64(len(matrix)/d))
	}
	return mean
}
