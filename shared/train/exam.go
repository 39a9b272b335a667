package train

import (
	"context"
	"math"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/foldin"
)

// exam asks a ranking for what it has not been shown: held-out items of users, or the next item of sessions.
type exam struct {
	seen      als.Interactions    // what was learned from
	held      als.Interactions    // with users
	questions []question          // with sessions
	together  *cooccurrence.Table // of the sessions learned from
}

// question asks for the item that came after a prefix. Items are numbers; -1 as next is an item that no ranking can find.
type question struct {
	prefix []int32
	next   int32
}

func (e exam) len() int { return e.held.Len() + len(e.questions) }

// sample keeps about n of those who are asked, spread evenly.
func (e exam) sample(n int) exam {
	if len(e.questions) > n {
		some := make([]question, n)
		for k := range some {
			some[k] = e.questions[k*len(e.questions)/n]
		}
		e.questions = some
	}
	if e.questions == nil {
		e.held = everyNthUser(e.held, n)
	}
	return e
}

func (e exam) rank(ctx context.Context, score evaluate.Score, k int) (evaluate.Result, error) {
	if e.questions == nil {
		return evaluate.Rank(ctx, score, e.seen, e.held, k)
	}
	next := make([]int32, len(e.questions))
	for n, q := range e.questions {
		next[n] = q.next
	}
	return evaluate.Next(ctx, score, e.seen, next, k)
}

// measure ranks by factors: of the users themselves, or folded in from the prefixes of sessions.
func (e exam) measure(ctx context.Context, f als.Factors, p point, k int) (evaluate.Result, error) {
	if e.questions == nil {
		return e.rank(ctx, evaluate.Factors(f), k)
	}
	space, err := newSpace(f, p, e.together)
	if err != nil {
		return evaluate.Result{}, err
	}
	score, err := folded(space, meanRow(f.Users, f.Dimension), p.decay, e.questions)
	if err != nil {
		return evaluate.Result{}, err
	}
	return e.rank(ctx, score, k)
}

// newSpace is the space of a training's items that serving will fold in to.
func newSpace(f als.Factors, p point, together *cooccurrence.Table) (*foldin.Space, error) {
	items, err := foldin.NewMatrix(f.Items, f.Dimension)
	if err != nil {
		return nil, err
	}
	space, err := foldin.New(foldin.Loss{
		Dimension: f.Dimension, Alpha0: p.alpha0, Lambda: p.lambda, Items: items.Len(), Gramian: als.Gramian(f.Items, f.Dimension),
	}, items)
	if err != nil {
		return nil, err
	}
	return space, space.Blend(together, p.blend)
}

// neighbours ranks by the items that the same users, or sessions, had; of a session with the same decay as a fold-in.
func (e exam) neighbours(ctx context.Context, decay float64, k int) (evaluate.Result, error) {
	near := evaluate.ItemNeighbours(e.seen)
	if e.questions == nil {
		return e.rank(ctx, near.Score(e.seen), k)
	}
	return e.rank(ctx, evaluate.One(func(n int, scores []float32) {
		clear(scores)
		prefix := e.questions[n].prefix
		for k, i := range prefix {
			near.Add(scores, int(i), float32(math.Pow(decay, float64(len(prefix)-1-k))))
		}
	}), k)
}
