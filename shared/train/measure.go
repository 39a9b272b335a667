package train

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// Measurement is how a published model ranks interactions it has not seen.
type Measurement struct {
	Model      evaluate.Metrics `json:"model"`
	Popularity evaluate.Metrics `json:"popularity"`
	// UnknownUsers are in the test, but the model has no interactions of them: they are not measured.
	UnknownUsers int `json:"unknown_users"`
	// UnknownItems are in the test, but not in the model: each counts as an item that was not found.
	UnknownItems int `json:"unknown_items"`
}

// Measure ranks all items of the model for every user of test, without those the model was trained on.
func Measure(ctx context.Context, a *model.Artifact, test *Interactions, k int) (Measurement, error) {
	p := newProblem(test)
	users, userNumber, err := number(a.Users(ctx), a.Manifest, p.users)
	if err != nil {
		return Measurement{}, err
	}
	items, itemNumber, err := number(a.Items(ctx), a.Manifest, p.items)
	if err != nil {
		return Measurement{}, err
	}
	var trained []als.Interaction
	for pair, err := range a.Interactions(ctx) {
		if err != nil {
			return Measurement{}, err
		}
		u, knownUser := userNumber[pair.User]
		i, knownItem := itemNumber[pair.Item]
		if !knownUser || !knownItem {
			return Measurement{}, fmt.Errorf("model %s: %s names user %q or item %q, whom the model does not have", a.Manifest.Version, model.InteractionsFile, pair.User, pair.Item)
		}
		trained = append(trained, als.Interaction{User: u, Item: i, Weight: pair.Weight})
	}
	asked := make([]als.Interaction, len(p.rows))
	for n, r := range p.rows {
		asked[n] = als.Interaction{User: userNumber[p.users[r.user]], Item: itemNumber[p.items[r.item]], Weight: r.weight}
	}
	seen, err := als.Collect(len(userNumber), len(itemNumber), trained)
	if err != nil {
		return Measurement{}, err
	}
	held, err := als.Collect(len(userNumber), len(itemNumber), asked)
	if err != nil {
		return Measurement{}, err
	}
	m := Measurement{UnknownItems: len(itemNumber) - items.known}
	for _, id := range p.users {
		if row, _ := seen.Row(int(userNumber[id])); len(row) == 0 {
			m.UnknownUsers++
		}
	}
	held = evaluate.Answerable(held, seen)
	factors := evaluate.Factors(als.Factors{Dimension: a.Manifest.Dimension, Users: users.embeddings, Items: items.embeddings})
	for _, ranking := range []struct {
		into  *evaluate.Metrics
		score evaluate.Score
	}{{&m.Model, factors}, {&m.Popularity, func(_ int, scores []float32) { copy(scores, items.bias) }}} {
		result, err := evaluate.Rank(ctx, func(u int, scores []float32) {
			ranking.score(u, scores)
			for i := items.known; i < len(scores); i++ {
				scores[i] = float32(math.Inf(-1))
			}
		}, seen, held, k)
		if err != nil {
			return Measurement{}, fmt.Errorf("model %s: %w: do the ids in the test file belong to this model?", a.Manifest.Version, err)
		}
		*ranking.into = result.Metrics
	}
	return m, nil
}

// side is one side of a model by number: first the model's own, then those that only the test names.
type side struct {
	embeddings, bias []float32
	known            int
}

func number(entities iter.Seq2[model.Entity, error], manifest lake.ModelManifest, tested []string) (side, map[string]int32, error) {
	var s side
	numbers := map[string]int32{}
	for e, err := range entities {
		if err != nil {
			return side{}, nil, err
		}
		numbers[e.ID] = int32(len(numbers))
		s.embeddings, s.bias = append(s.embeddings, e.Embedding...), append(s.bias, e.Bias)
	}
	s.known = len(numbers)
	for _, id := range tested {
		if _, known := numbers[id]; !known {
			numbers[id] = int32(len(numbers))
			s.embeddings, s.bias = append(s.embeddings, make([]float32, manifest.Dimension)...), append(s.bias, 0)
		}
	}
	return s, numbers, nil
}
