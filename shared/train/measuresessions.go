package train

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/foldin"
	"github.com/millrace/millrace/shared/model"
)

// SessionMeasurement is how a published model finds the next item of sessions.
type SessionMeasurement struct {
	Model, Popularity evaluate.Metrics
	Confidence        evaluate.Confidence
	UnknownNext       int // next items that the model does not have: not found
}

// MarshalJSON writes {"k":20,"questions":…,"HR@20":…,"MRR@20":…, …}.
func (m SessionMeasurement) MarshalJSON() ([]byte, error) {
	hr, mrr := fmt.Sprintf("HR@%d", m.Model.K), fmt.Sprintf("MRR@%d", m.Model.K)
	named := func(x evaluate.Metrics) map[string]any {
		return map[string]any{hr: x.HitRate, mrr: x.MRR, fmt.Sprintf("coverage@%d", x.K): x.Coverage, fmt.Sprintf("popularity_bias@%d", x.K): x.PopularityBias}
	}
	fields := named(m.Model)
	fields["k"], fields["questions"], fields["unknown_next"] = m.Model.K, m.Model.Users, m.UnknownNext
	fields["confidence_95"] = map[string]evaluate.Interval{hr: m.Confidence.Recall, mrr: m.Confidence.MRR}
	fields["popularity"] = named(m.Popularity)
	return json.Marshal(fields)
}

// MeasureSessions folds each prefix in, as serving does, and ranks all items of the model; those of the prefix too.
func MeasureSessions(ctx context.Context, a *model.Artifact, list []Question, k int) (SessionMeasurement, error) {
	encoder, err := a.Encoder(ctx)
	if err != nil {
		return SessionMeasurement{}, err
	}
	items, number, err := number(a.Items(ctx), a.Manifest, nil)
	if err != nil {
		return SessionMeasurement{}, err
	}
	var m SessionMeasurement
	asked, next := make([]question, len(list)), make([]int32, len(list))
	for n, q := range list {
		for _, id := range q.Prefix {
			if i, known := number[id]; known { // a shop sells what the model has not seen
				asked[n].prefix = append(asked[n].prefix, i)
			}
		}
		i, known := number[q.Next]
		if !known {
			i = -1
			m.UnknownNext++
		}
		next[n] = i
	}
	if m.UnknownNext == len(list) {
		return SessionMeasurement{}, fmt.Errorf("model %s has none of the next items: do the ids in the file belong to this model?", a.Manifest.Version)
	}
	matrix, err := foldin.NewMatrix(items.embeddings, a.Manifest.Dimension)
	if err != nil {
		return SessionMeasurement{}, err
	}
	space, err := foldin.New(foldin.Loss{
		Dimension: encoder.Dimension, Alpha0: encoder.Alpha0, Lambda: encoder.Lambda, Items: encoder.Items, Gramian: encoder.Gramian,
	}, matrix)
	if err != nil {
		return SessionMeasurement{}, err
	}
	together, err := a.Cooccurrences(ctx, number)
	if err != nil {
		return SessionMeasurement{}, err
	}
	if err := space.Blend(together, encoder.Blend); err != nil {
		return SessionMeasurement{}, fmt.Errorf("model %s: %w", a.Manifest.Version, err)
	}
	seen, err := trainedOn(ctx, a, number)
	if err != nil {
		return SessionMeasurement{}, err
	}
	score, err := folded(space, encoder.MeanUser, cmp.Or(encoder.Decay, firstDecay), asked)
	if err != nil {
		return SessionMeasurement{}, err
	}
	ours, err := evaluate.Next(ctx, score, seen, next, k)
	if err != nil {
		return SessionMeasurement{}, err
	}
	popular, err := evaluate.Next(ctx, evaluate.One(func(_ int, scores []float32) { copy(scores, items.bias) }), seen, next, k)
	m.Model, m.Popularity, m.Confidence = ours.Metrics, popular.Metrics, ours.Confidence(bootstrapSeed)
	return m, err
}

// trainedOn collects what the artifact was trained on, users numbered as they come.
func trainedOn(ctx context.Context, a *model.Artifact, items map[string]int32) (als.Interactions, error) {
	var users ids
	var list []als.Interaction
	for pair, err := range a.Interactions(ctx) {
		if err != nil {
			return als.Interactions{}, err
		}
		i, known := items[pair.Item]
		if !known {
			return als.Interactions{}, fmt.Errorf("model %s: %s names item %q, which the model does not have", a.Manifest.Version, model.InteractionsFile, pair.Item)
		}
		list = append(list, als.Interaction{User: users.of(pair.User), Item: i, Weight: pair.Weight})
	}
	return als.Collect(len(users.list), len(items), list)
}
