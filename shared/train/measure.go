package train

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
)

// Measurement is how a published model ranks interactions it has not seen. In JSON the model's metrics stand beside the rest.
type Measurement struct {
	evaluate.Metrics
	Confidence evaluate.Confidence
	Popularity evaluate.Metrics
	// ItemNeighbours is item-based collaborative filtering on what the model was trained on; nil if it would take too long.
	ItemNeighbours *evaluate.Metrics
	// UnknownUsers are in the test, but the model has no interactions of them: they are not measured.
	UnknownUsers int
	// UnknownItems are in the test, but not in the model: each counts as an item that was not found.
	UnknownItems int
}

// MarshalJSON writes {"k":20,"users":…,"recall@20":…, …,"popularity":{…},"unknown_users":…}.
func (m Measurement) MarshalJSON() ([]byte, error) {
	return beside(m.Metrics, struct {
		Confidence     evaluate.Confidence `json:"confidence_95"`
		Popularity     evaluate.Metrics    `json:"popularity"`
		ItemNeighbours *evaluate.Metrics   `json:"item_neighbours,omitempty"`
		UnknownUsers   int                 `json:"unknown_users"`
		UnknownItems   int                 `json:"unknown_items"`
	}{m.Confidence, m.Popularity, m.ItemNeighbours, m.UnknownUsers, m.UnknownItems})
}

// beside joins the fields of two JSON objects.
func beside(first, second any) ([]byte, error) {
	a, err := json.Marshal(first)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(second)
	if err != nil {
		return nil, err
	}
	return append(append(a[:len(a)-1], ','), b[1:]...), nil
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
	// What the model does not have, it cannot recommend.
	known := func(score evaluate.Score) evaluate.Score {
		return func(users []int, scores [][]float32) {
			score(users, scores)
			for _, row := range scores {
				for i := items.known; i < len(row); i++ {
					row[i] = float32(math.Inf(-1))
				}
			}
		}
	}
	factors := evaluate.Factors(als.Factors{Dimension: a.Manifest.Dimension, Users: users.embeddings, Items: items.embeddings})
	ours, err := evaluate.Rank(ctx, known(factors), seen, held, k)
	if err != nil {
		return Measurement{}, fmt.Errorf("model %s: %w: do the ids in the test file belong to this model?", a.Manifest.Version, err)
	}
	m.Metrics, m.Confidence = ours.Metrics, ours.Confidence(bootstrapSeed)
	popular, err := evaluate.Rank(ctx, known(evaluate.One(func(_ int, scores []float32) { copy(scores, items.bias) })), seen, held, k)
	if err != nil {
		return Measurement{}, err
	}
	m.Popularity = popular.Metrics
	if evaluate.NeighbourWork(seen) <= neighbourWork {
		near, err := evaluate.Rank(ctx, evaluate.ItemNeighbours(seen).Score(seen), seen, held, k)
		if err != nil {
			return Measurement{}, err
		}
		m.ItemNeighbours = &near.Metrics
	}
	return m, nil
}

// bootstrapSeed makes the same files give the same intervals.
const bootstrapSeed = 1

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
