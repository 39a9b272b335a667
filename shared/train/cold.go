package train

import (
	"context"
	"math"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/foldin"
	"github.com/millrace/millrace/shared/model"
)

// strangers is one in how many users and items are kept from a training to see how well the model does by those it does not know.
const strangers = 5

// coldStart trains without a fifth of the users and a fifth of the items, gives them vectors from their features and from half of their
// interactions, and measures both on what is left of their interactions.
func (e examination) coldStart(ctx context.Context, in Input) (model.ColdStart, error) {
	if e.all.Users < strangers || e.all.Items < strangers {
		return model.ColdStart{}, nil
	}
	var warm, ofUsers, ofItems []als.Interaction // the last two by turned numbers: the strangers are rows
	for u := range e.all.Users {
		items, weights := e.all.Row(u)
		for k, i := range items {
			x := als.Interaction{User: int32(u), Item: i, Weight: weights[k]}
			switch strangeUser, strangeItem := strange(u), strange(int(i)); {
			case strangeUser && strangeItem: // nobody would know whom it tells about
			case strangeUser:
				ofUsers = append(ofUsers, x)
			case strangeItem:
				ofItems = append(ofItems, als.Interaction{User: i, Item: int32(u), Weight: x.Weight})
			default:
				warm = append(warm, x)
			}
		}
	}
	if len(warm) == 0 || len(ofUsers) == 0 || len(ofItems) == 0 {
		return model.ColdStart{}, nil
	}
	m, err := als.Collect(e.all.Users, e.all.Items, warm)
	if err != nil {
		return model.ColdStart{}, err
	}
	factors, unit, err := learn(ctx, m, e.chosen, e.epochs, e.settings.Seed, Testing, e.progress)
	if err != nil {
		return model.ColdStart{}, err
	}
	var c model.ColdStart
	users := coldSide{
		e: e, warm: m, own: factors.Users, other: factors.Items, d: factors.Dimension, unit: unit,
		records: records(in.Users, e.problem.users), fields: in.UserFields, ids: [2][]string{e.problem.users, e.problem.items},
	}
	if c.UserSide, err = users.measure(ctx, ofUsers); err != nil {
		return model.ColdStart{}, err
	}
	items := coldSide{
		e: e, warm: m.Transpose(), own: factors.Items, other: factors.Users, d: factors.Dimension, unit: unit, turned: true,
		records: records(in.Items, e.problem.items), fields: in.ItemFields, ids: [2][]string{e.problem.items, e.problem.users},
	}
	c.ItemSide, err = items.measure(ctx, ofItems)
	return c, err
}

func strange(number int) bool { return number%strangers == strangers/2 }

// records finds what a table says of each id.
func records(table []Entity, ids []string) []features.Record {
	known := make(map[string]features.Record, len(table))
	for _, e := range table {
		known[e.ID] = e.Values
	}
	list := make([]features.Record, len(ids))
	for n, id := range ids {
		list[n] = known[id]
	}
	return list
}

// coldSide is the users or the items of a training that has not seen the strangers among them.
type coldSide struct {
	e          examination
	warm       als.Interactions // rows are this side
	own, other []float32        // factors
	d          int
	unit       float64
	turned     bool // rows are items
	records    []features.Record
	fields     []features.Field
	ids        [2][]string // of rows and columns
}

func (s coldSide) measure(ctx context.Context, pairs []als.Interaction) (*model.ColdSide, error) {
	rows, columns := s.warm.Users, s.warm.Items
	all, err := als.Collect(rows, columns, pairs)
	if err != nil {
		return nil, err
	}
	result := &model.ColdSide{}
	for r := range rows {
		if strange(r) {
			result.HeldOut++
		}
	}
	mean := s.meanOfKnown()
	priors := make([]float32, rows*s.d)
	for r := range rows {
		copy(priors[r*s.d:(r+1)*s.d], mean)
	}
	nothing, err := als.Collect(rows, columns, nil)
	if err != nil {
		return nil, err
	}
	if len(s.fields) > 0 {
		regression, err := s.regression()
		if err != nil {
			return nil, err
		}
		for r := range rows {
			if strange(r) {
				copy(priors[r*s.d:(r+1)*s.d], regression.Predict(s.records[r]))
			}
		}
		if result.FromFeatures, err = s.compare(ctx, priors, nothing, all); err != nil {
			return nil, err
		}
	}
	half := make([]evaluate.Pair, len(pairs))
	for n, x := range pairs { // Collect has sorted them
		half[n] = evaluate.Pair{User: x.User, Item: x.Item}
	}
	told, asked := evaluate.LeaveOut(half, s.ids[0], s.ids[1], 0.5, "stranger")
	known, err := als.Collect(rows, columns, pick(pairs, told))
	if err != nil {
		return nil, err
	}
	wanted, err := als.Collect(rows, columns, pick(pairs, asked))
	if err != nil {
		return nil, err
	}
	if wanted.Len() == 0 {
		return result, nil
	}
	folded, err := s.fold(priors, known)
	if err != nil {
		return nil, err
	}
	result.FoldedIn, err = s.compare(ctx, folded, known, wanted)
	return result, err
}

func pick(pairs []als.Interaction, places []int) []als.Interaction {
	list := make([]als.Interaction, len(places))
	for k, n := range places {
		list[k] = pairs[n]
	}
	return list
}

func (s coldSide) meanOfKnown() []float32 {
	var known []float32
	for r := range s.warm.Users {
		if row, _ := s.warm.Row(r); len(row) > 0 {
			known = append(known, s.own[r*s.d:(r+1)*s.d]...)
		}
	}
	return meanRow(known, s.d)
}

func (s coldSide) regression() (features.Regression, error) {
	var known []features.Record
	var embeddings []float32
	for r := range s.warm.Users {
		if row, _ := s.warm.Row(r); len(row) > 0 {
			known, embeddings = append(known, s.records[r]), append(embeddings, s.own[r*s.d:(r+1)*s.d]...)
		}
	}
	return features.Fit(s.fields, known, embeddings, s.d)
}

// fold gives each row the vector that its interactions and its prior suggest.
func (s coldSide) fold(priors []float32, known als.Interactions) ([]float32, error) {
	other, err := foldin.NewMatrix(s.other, s.d)
	if err != nil {
		return nil, err
	}
	space, err := foldin.New(foldin.Loss{
		Dimension: s.d, Alpha0: s.e.chosen.alpha0, Lambda: s.e.chosen.lambda, Items: other.Len(), Gramian: als.Gramian(s.other, s.d),
	}, other)
	if err != nil {
		return nil, err
	}
	folded := append([]float32(nil), priors...)
	for r := range known.Users {
		columns, weights := known.Row(r)
		if len(columns) == 0 {
			continue
		}
		session := make([]foldin.Weighted, len(columns))
		for k, c := range columns {
			session[k] = foldin.Weighted{Row: int(c), Weight: float64(counted(weights[k], s.e.chosen.weights)) / s.unit}
		}
		prior := folded[r*s.d : (r+1)*s.d]
		user, err := space.Fold(prior, session)
		if err != nil {
			return nil, err
		}
		copy(prior, user.Vector)
	}
	return folded, nil
}

// compare ranks by vectors of this side and by what is known without them: popularity for users, chance or the part told for items.
// Users are asked for all items but the strange ones; new items are ranked among themselves, because what is old has the better
// chances with everybody: a list of a tenth of them finds a tenth by chance.
func (s coldSide) compare(ctx context.Context, vectors []float32, known, wanted als.Interactions) (*model.ColdFigures, error) {
	f, baseline, k := als.Factors{Dimension: s.d, Users: vectors, Items: s.other}, evaluate.WeightSums(s.warm.Transpose()), s.e.settings.K
	if s.turned {
		f.Users, f.Items = s.other, vectors
		baseline = evaluate.WeightSums(known)
		known, wanted = known.Transpose(), wanted.Transpose()
		k = max(1, s.warm.Users/strangers/10)
	}
	candidate := func(item int) bool { return strange(item) == s.turned }
	only := func(score evaluate.Score) evaluate.Score {
		return func(users []int, scores [][]float32) {
			score(users, scores)
			for _, row := range scores {
				for i := range row {
					if !candidate(i) {
						row[i] = float32(math.Inf(-1))
					}
				}
			}
		}
	}
	question := exam{seen: known, held: everyNthUser(wanted, asked)}
	ours, err := question.rank(ctx, only(evaluate.Factors(f)), k)
	if err != nil {
		return nil, err
	}
	plain, err := question.rank(ctx, only(evaluate.One(func(_ int, scores []float32) {
		for i := range scores {
			scores[i] = float32(baseline[i])
		}
	})), k)
	return &model.ColdFigures{Model: ours.Metrics, Baseline: plain.Metrics}, err
}
