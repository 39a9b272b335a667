package train

import (
	"fmt"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// problem is the input by number: users and items are positions in ascending lists of ids.
type problem struct {
	users, items []string
	rows         []row
	timed        bool
}

func newProblem(x *Interactions) *problem {
	x.sort()
	return &problem{users: x.users.list, items: x.items.list, rows: x.rows, timed: x.timed}
}

// every lists all rows.
func (p *problem) every() []int {
	all := make([]int, len(p.rows))
	for n := range all {
		all[n] = n
	}
	return all
}

// matrix collects the listed rows.
func (p *problem) matrix(rows []int) (als.Interactions, error) {
	list := make([]als.Interaction, len(rows))
	for k, n := range rows {
		r := p.rows[n]
		list[k] = als.Interaction{User: r.user, Item: r.item, Weight: r.weight}
	}
	return als.Collect(len(p.users), len(p.items), list)
}

// Shares that are held out: a tenth for the final figures and a tenth of what remains for choosing settings would
// leave small shops with a handful of pairs, so a fifth each.
const (
	testShare       = 0.2
	validationShare = 0.2
)

// parts are the three sets that must not mix. fit ∪ validation = rest; rest ∪ test = everything, less the held-out pairs
// that nothing learned from the other side could answer.
type parts struct {
	fit, validation als.Interactions // for choosing settings
	rest, test      als.Interactions // for the figures
	about           model.HoldOut
}

// split holds out by time if the rows have one and that leaves somebody to ask, else some items of every user.
func (p *problem) split() (parts, error) {
	why := "the rows have no time"
	if p.timed {
		q, err := p.splitWith(func(pairs []evaluate.Pair, share float64, _ string) ([]int, []int) {
			return evaluate.ByTime(pairs, share)
		})
		if err != nil {
			return parts{}, err
		}
		if q.test.Len() > 0 && q.validation.Len() > 0 {
			q.about.Method, q.about.Reason = "by_time", "the rows have a time: the latest are held out"
			return q, nil
		}
		why = "the rows have a time, but no user with earlier interactions has new items in the latest part"
	}
	q, err := p.splitWith(func(pairs []evaluate.Pair, share float64, salt string) ([]int, []int) {
		return evaluate.LeaveOut(pairs, p.users, p.items, share, salt)
	})
	if err != nil {
		return parts{}, err
	}
	if q.test.Len() == 0 {
		return parts{}, ErrTooFew
	}
	if q.validation.Len() == 0 {
		// Choosing settings on the test pairs instead would make the figures worthless.
		return parts{}, fmt.Errorf("%w (three for a validation part besides)", ErrTooFew)
	}
	q.about.Method, q.about.Reason = "leave_out", why+": some items of every user are held out"
	return q, nil
}

func (p *problem) splitWith(hold func(pairs []evaluate.Pair, share float64, salt string) (train, held []int)) (parts, error) {
	rest, test, err := p.holdOut(p.every(), testShare, "test", hold)
	if err != nil {
		return parts{}, err
	}
	fit, validation, err := p.holdOut(rest, validationShare, "validation", hold)
	if err != nil {
		return parts{}, err
	}
	var q parts
	for _, m := range []struct {
		into *als.Interactions
		rows []int
	}{{&q.rest, rest}, {&q.test, test}, {&q.fit, fit}, {&q.validation, validation}} {
		if *m.into, err = p.matrix(m.rows); err != nil {
			return parts{}, err
		}
	}
	q.test, q.validation = evaluate.Answerable(q.test, q.rest), evaluate.Answerable(q.validation, q.fit)
	q.about = model.HoldOut{Train: q.rest.Len(), Test: q.test.Len(), Validation: q.validation.Len()}
	return q, nil
}

// holdOut splits the listed rows; the result lists rows again.
func (p *problem) holdOut(rows []int, share float64, salt string, hold func([]evaluate.Pair, float64, string) ([]int, []int)) (train, held []int, err error) {
	pairs := make([]evaluate.Pair, len(rows))
	for k, n := range rows {
		pairs[k] = evaluate.Pair{User: p.rows[n].user, Item: p.rows[n].item, Time: p.rows[n].time}
	}
	train, held = hold(pairs, share, salt)
	for _, list := range [][]int{train, held} {
		for k, n := range list {
			list[k] = rows[n]
		}
	}
	return train, held, nil
}
