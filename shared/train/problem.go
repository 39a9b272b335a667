package train

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/model"
)

// problem is the input by number: users and items are positions in ascending lists of ids.
type problem struct {
	users, items []string
	rows         []row
	timed        bool
	sessions     bool
}

func newProblem(x *Interactions) *problem {
	x.sort()
	return &problem{users: x.users.list, items: x.items.list, rows: x.rows, timed: x.timed, sessions: x.sessions}
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
		list[k] = p.rows[n].interaction()
	}
	return als.Collect(len(p.users), len(p.items), list)
}

// matrixOf collects rows of the first users.
func (p *problem) matrixOf(rows []row, users int) (als.Interactions, error) {
	list := make([]als.Interaction, len(rows))
	for k, r := range rows {
		list[k] = r.interaction()
	}
	return als.Collect(users, len(p.items), list)
}

// Shares that are held out: a tenth for the final figures and a tenth of what remains for choosing settings. More would choose the settings of
// another data set: the best α0 rises with the pairs that are left (Gowalla, d = 64, the same pairs asked for: of 72 % .003 and .01 are equally
// good, of 90 % the smaller one has 2 % less ndcg). It would leave small shops with a handful of pairs, so a fifth each of less than fewPairs.
const (
	heldOut      = 0.1
	heldOutOfFew = 0.2
	fewPairs     = 100_000
	sessionShare = 0.1 // of sessions, the latest: twice
)

// leaveOut is the method of a hold-out by chance.
const leaveOut = "leave_out"

// parts are the three sets that must not mix. fit ∪ validation = rest; rest ∪ test = everything, less the held-out pairs
// that nothing learned from the other side could answer.
type parts struct {
	validation exam // for choosing settings; it has seen fit
	test       exam // for the figures; it has seen the rest
	restRows   []int
	about      model.HoldOut
}

// split holds out the latest sessions, or by time if the rows have one and that leaves somebody to ask, else some items of every user.
func (p *problem) split() (parts, error) {
	if p.sessions {
		return p.splitSessions()
	}
	why := "the rows have no time"
	if p.timed {
		q, err := p.splitWith(func(pairs []evaluate.Pair, share float64, _ string) ([]int, []int) {
			return evaluate.ByTime(pairs, share)
		})
		if err != nil {
			return parts{}, err
		}
		if q.test.len() > 0 && q.validation.len() > 0 {
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
	if q.test.len() == 0 {
		return parts{}, ErrTooFew
	}
	if q.validation.len() == 0 {
		// Choosing settings on the test pairs instead would make the figures worthless.
		return parts{}, fmt.Errorf("%w (three for a validation part besides)", ErrTooFew)
	}
	q.about.Method, q.about.Reason = leaveOut, why+": some items of every user are held out"
	return q, nil
}

func (p *problem) splitWith(hold func(pairs []evaluate.Pair, share float64, salt string) (train, held []int)) (parts, error) {
	share := heldOut
	if len(p.rows) < fewPairs {
		share = heldOutOfFew
	}
	rest, test := p.holdOut(p.every(), share, "test", hold)
	fit, validation := p.holdOut(rest, share, "validation", hold)
	q := parts{restRows: rest}
	for _, m := range []struct {
		into *als.Interactions
		rows []int
	}{{&q.test.seen, rest}, {&q.test.held, test}, {&q.validation.seen, fit}, {&q.validation.held, validation}} {
		var err error
		if *m.into, err = p.matrix(m.rows); err != nil {
			return parts{}, err
		}
	}
	q.test.held, q.validation.held = evaluate.Answerable(q.test.held, q.test.seen), evaluate.Answerable(q.validation.held, q.validation.seen)
	q.about = model.HoldOut{Train: q.test.seen.Len(), Test: q.test.len(), Validation: q.validation.len()}
	return q, nil
}

// holdOut splits the listed rows; the result lists rows again.
func (p *problem) holdOut(rows []int, share float64, salt string, hold func([]evaluate.Pair, float64, string) ([]int, []int)) (train, held []int) {
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
	return train, held
}

// splitSessions holds out the latest tenth of the sessions for the figures and the tenth before it for choosing settings.
func (p *problem) splitSessions() (parts, error) {
	n := len(p.users)
	restEnd, fitEnd := n-int(sessionShare*float64(n)+0.5), n-2*int(sessionShare*float64(n)+0.5)
	before := func(session int) int {
		at, _ := slices.BinarySearchFunc(p.rows, int32(session), func(r row, s int32) int { return cmp.Compare(r.user, s) })
		return at
	}
	fit, rest := p.rows[:before(fitEnd)], p.rows[:before(restEnd)]
	var q parts
	var err error
	if q.validation.seen, err = p.matrixOf(fit, fitEnd); err != nil {
		return parts{}, err
	}
	if q.test.seen, err = p.matrixOf(rest, restEnd); err != nil {
		return parts{}, err
	}
	for e, rows := range map[*exam][]row{&q.validation: fit, &q.test: rest} {
		if e.together, err = p.together(rows); err != nil {
			return parts{}, err
		}
	}
	q.validation.questions, q.test.questions = questionsOf(sessionsOf(p.rows[len(fit):len(rest)])), questionsOf(sessionsOf(p.rows[len(rest):]))
	if len(fit) == 0 || q.validation.len() == 0 || q.test.len() == 0 {
		return parts{}, fmt.Errorf("too few sessions to hold any out: the last tenth of %d, and the tenth before, need at least one with two or more items each", n)
	}
	q.about = model.HoldOut{
		Method: "next_item", Reason: "sessions: the next item of each of the latest tenth",
		Train: q.test.seen.Len(), Test: q.test.len(), Validation: q.validation.len(),
	}
	return q, nil
}

// together counts which items follow which in the sessions of rows.
func (p *problem) together(rows []row) (*cooccurrence.Table, error) {
	return cooccurrence.Count(sessionsOf(rows), len(p.items))
}
