package modelloader

import (
	"context"
	"fmt"
	"iter"

	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/vectorstore"
)

// purchases joins users with what training has seen of them. Both are ascending by user, so one pass serves all.
type purchases struct {
	next   func() (model.Pair, error, bool)
	number map[string]int32 // of items
	ahead  model.Pair
	more   bool
	begun  bool
}

func newPurchases(pairs iter.Seq2[model.Pair, error], number map[string]int32) (*purchases, func()) {
	next, stop := iter.Pull2(pairs)
	return &purchases{next: next, number: number}, stop
}

// of sets what a user has bought. Users come in ascending order; a user of the pairs who is none of the users is passed over.
func (p *purchases) of(user *vectorstore.Entity) error {
	if !p.begun {
		p.begun = true
		if err := p.advance(); err != nil {
			return err
		}
	}
	for p.more && p.ahead.User <= user.ID {
		if p.ahead.User == user.ID {
			n, known := p.number[p.ahead.Item]
			if !known {
				return fmt.Errorf("%s names item %q, which the model does not have", model.InteractionsFile, p.ahead.Item)
			}
			user.Bought = append(user.Bought, n)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (p *purchases) advance() (err error) {
	p.ahead, err, p.more = p.next()
	return err
}

// cooccurrences passes on which items follow which, if the artifact says; number must be complete when it is read.
func cooccurrences(ctx context.Context, a *model.Artifact, number map[string]int32) iter.Seq2[vectorstore.Neighbours, error] {
	if !a.Has(model.CooccurrencesFile) {
		return nil
	}
	return func(yield func(vectorstore.Neighbours, error) bool) {
		table, err := a.Cooccurrences(ctx, number)
		if err != nil {
			yield(vectorstore.Neighbours{}, classify(err))
			return
		}
		for item := range table.Len() {
			others, strengths := table.Row(item)
			if len(others) > 0 && !yield(vectorstore.Neighbours{Item: int32(item), Others: others, Strengths: strengths}, nil) {
				return
			}
		}
	}
}
