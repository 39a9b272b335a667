package features_test

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/shared/features"
)

var shopFields = []features.Field{{Name: "city", Kind: features.Category}, {Name: "credit", Kind: features.Number}}

func shopEncoding(t *testing.T) features.Encoding {
	e, err := features.FitEncoding(shopFields, []features.Record{
		{"city": "Nantes", "credit": "10"}, {"city": "nantes ", "credit": "20.0"}, {"city": "Łódź", "credit": "30"},
		{"city": "Oslo"}, {"city": "Łódź"}, {},
	})
	require.NoError(t, err)
	return e
}

func TestARecordMayBelongToSeveralCategories(t *testing.T) {
	t.Parallel()
	field := features.Field{Name: "tags", Kind: features.Categories, Separator: "|"}
	e, err := features.FitEncoding([]features.Field{field}, []features.Record{{"tags": "Red|blue"}, {"tags": "red | green"}, {"tags": "blue"}, {"tags": "rare"}, {}})
	require.NoError(t, err)
	require.Equal(t, []string{"blue", "red"}, e.Fields[0].Categories)
	for text, want := range map[string][]int{
		"red|BLUE": {0, 1, 2}, "blue": {0, 1}, "blue|blue||": {0, 1}, "pink|red|rare": {0, 2, 3}, "": {0, 3}, "green": {0, 3},
	} {
		var got []int
		for _, term := range e.Encode(features.Record{"tags": text}) {
			got = append(got, term.Position)
			require.Equal(t, 1.0, term.Value)
		}
		require.Equal(t, want, got, text)
	}
	require.Len(t, e.Encode(nil), 2, "other")
	field.Separator = ""
	_, err = features.FitEncoding([]features.Field{field}, nil)
	require.ErrorContains(t, err, "needs a separator")
}

func TestEncodingGivesEveryRecordAPlace(t *testing.T) {
	t.Parallel()
	e := shopEncoding(t)
	// 1 | nantes łódź other | credit: mean 20, deviation √(200/3)
	require.Equal(t, 5, e.Width())
	term := func(position int, value float64) features.Term {
		return features.Term{Position: position, Value: value}
	}
	cases := map[string]struct {
		record features.Record
		want   []features.Term
	}{
		"known":                                {features.Record{"city": "NANTES", "credit": "20"}, []features.Term{term(0, 1), term(1, 1)}},
		"non-ASCII category":                   {features.Record{"city": "łódź", "credit": "20"}, []features.Term{term(0, 1), term(2, 1)}},
		"seen once only is other":              {features.Record{"city": "Oslo"}, []features.Term{term(0, 1), term(3, 1)}},
		"never seen is other":                  {features.Record{"city": "Atlantis"}, []features.Term{term(0, 1), term(3, 1)}},
		"nothing known":                        {features.Record{}, []features.Term{term(0, 1), term(3, 1)}},
		"nil":                                  {nil, []features.Term{term(0, 1), term(3, 1)}},
		"unreadable number is the mean":        {features.Record{"city": "Nantes", "credit": "a lot"}, []features.Term{term(0, 1), term(1, 1)}},
		"absurd number is clamped":             {features.Record{"city": "Nantes", "credit": "1e300"}, []features.Term{term(0, 1), term(1, 1), term(4, 4)}},
		"not-a-number text is the mean":        {features.Record{"city": "Nantes", "credit": "NaN"}, []features.Term{term(0, 1), term(1, 1)}},
		"fields nobody fitted change nothing":  {features.Record{"city": "Nantes", "shoe": "44"}, []features.Term{term(0, 1), term(1, 1)}},
		"negative numbers clamp the other way": {features.Record{"city": "Nantes", "credit": "-1e9"}, []features.Term{term(0, 1), term(1, 1), term(4, -4)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, e.Encode(c.record))
		})
	}
	terms := e.Encode(features.Record{"credit": "30"})
	require.Equal(t, 4, terms[2].Position)
	require.InDelta(t, 10/8.16496580927726, terms[2].Value, 1e-12)
}

func TestFittingNamesTheValueItCannotRead(t *testing.T) {
	t.Parallel()
	_, err := features.FitEncoding(shopFields, []features.Record{{"credit": "12,50"}})
	require.ErrorIs(t, err, features.ErrNotANumber)
	require.ErrorContains(t, err, `feature credit: value "12,50"`)
	_, err = features.FitEncoding([]features.Field{{Name: "city", Kind: "colour"}}, nil)
	require.ErrorContains(t, err, `feature city: kind "colour", want category, categories or number`)
}

// linear makes embeddings that are an exact linear function of line and price, plus noise.
func linear(n, d int, noise float64) ([]features.Field, []features.Record, []float32) {
	random := rand.New(rand.NewPCG(8, 8))
	byLine := make([][]float64, 4)
	for l := range byLine {
		for range d + 1 {
			byLine[l] = append(byLine[l], random.NormFloat64())
		}
	}
	var records []features.Record
	var embeddings []float32
	for k := range n {
		price := random.Float64() * 100
		records = append(records, features.Record{"line": strconv.Itoa(k % 4), "price": strconv.FormatFloat(price, 'f', 2, 64)})
		for j := range d {
			embeddings = append(embeddings, float32(byLine[k%4][j]+price/100*byLine[0][j+1]+noise*random.NormFloat64()))
		}
	}
	return []features.Field{{Name: "line", Kind: features.Category}, {Name: "price", Kind: features.Number}}, records, embeddings
}

func TestRegressionRecoversALinearRelation(t *testing.T) {
	t.Parallel()
	const d = 5
	fields, records, embeddings := linear(200, d, 0.01)
	g, err := features.Fit(fields, records, embeddings, d)
	require.NoError(t, err)
	require.Greater(t, g.Explained, 0.99)
	for _, n := range []int{0, 77, 199} {
		got := g.Predict(records[n])
		for j := range d {
			require.InDelta(t, embeddings[n*d+j], got[j], 0.1)
		}
	}
}

func TestFeaturesWithoutMeaningPredictTheMean(t *testing.T) {
	t.Parallel()
	const d = 5
	fields, records, _ := linear(300, d, 0)
	random := rand.New(rand.NewPCG(3, 3))
	embeddings := make([]float32, 300*d)
	for k := range embeddings {
		embeddings[k] = 2 + float32(random.NormFloat64())
	}
	g, err := features.Fit(fields, records, embeddings, d)
	require.NoError(t, err)
	require.Less(t, g.Explained, 0.02)
	require.GreaterOrEqual(t, g.Ridge, 30.0)
	for _, x := range g.Predict(records[3]) {
		require.InDelta(t, 2, x, 0.35)
	}
}

// TestExplainedVarianceIsThatOfRefittingWithoutEachRecord refits without each record in turn and compares with the closed form.
func TestExplainedVarianceIsThatOfRefittingWithoutEachRecord(t *testing.T) {
	t.Parallel()
	const n, d = 24, 2
	fields, records, embeddings := linear(n, d, 0.5)
	g, err := features.Fit(fields, records, embeddings, d)
	require.NoError(t, err)
	dense := make([][]float64, n)
	for k, r := range records {
		dense[k] = make([]float64, g.Encoding.Width())
		for _, term := range g.Encoding.Encode(r) {
			dense[k][term.Position] = term.Value
		}
	}
	var loss, variance float64
	for j := range d {
		var mean float64
		for k := range n {
			mean += float64(embeddings[k*d+j]) / n
		}
		for k := range n {
			miss := float64(embeddings[k*d+j]) - predictWithout(dense, embeddings, d, j, k, g.Ridge)
			loss += miss * miss
			variance += (float64(embeddings[k*d+j]) - mean) * (float64(embeddings[k*d+j]) - mean)
		}
	}
	require.InDelta(t, 1-loss/variance, g.Explained, 1e-3)
}

func predictWithout(x [][]float64, y []float32, d, j, without int, ridge float64) float64 {
	p := len(x[0])
	a := make([][]float64, p) // p×(p+1), solved by Gauss–Jordan
	for i := range a {
		a[i] = make([]float64, p+1)
		if i > 0 {
			a[i][i] = ridge
		}
	}
	for k := range x {
		if k == without {
			continue
		}
		for r := range p {
			for c := range p {
				a[r][c] += x[k][r] * x[k][c]
			}
			a[r][p] += x[k][r] * float64(y[k*d+j])
		}
	}
	for c := range p {
		for r := range p {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := range a[r] {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	var sum float64
	for i := range p {
		sum += x[without][i] * a[i][p] / a[i][i]
	}
	return sum
}

func TestRegressionNeedsARecord(t *testing.T) {
	t.Parallel()
	_, err := features.Fit(shopFields, nil, nil, 3)
	require.ErrorIs(t, err, features.ErrNoRecords)
	_, err = features.Fit(shopFields, []features.Record{{}}, []float32{1}, 3)
	require.ErrorContains(t, err, "not 1 embeddings of dimension 3")
}

func TestOneRecordIsItsOwnPrediction(t *testing.T) {
	t.Parallel()
	g, err := features.Fit(shopFields, []features.Record{{"city": "Oslo"}}, []float32{1, 2, 3}, 3)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float32{1, 2, 3}, g.Predict(features.Record{"city": "Paris"}), 1e-3)
}

func encoder(t *testing.T) *features.Encoder {
	const d = 3
	fields, records, embeddings := linear(40, d, 0.1)
	g, err := features.Fit(fields, records, embeddings, d)
	require.NoError(t, err)
	return &features.Encoder{
		Format: features.EncoderFormat, Version: "v", Dimension: d, Alpha0: .1, Lambda: .01, Items: 40, Users: 7, WeightUnit: 3.5,
		Gramian: []float32{1, 0, 0, 0, 1, 0, 0, 0, 1. / 3}, MeanUser: []float32{.1, .2, .3}, ItemSide: &g,
	}
}

func TestEncoderSurvivesItsFile(t *testing.T) {
	t.Parallel()
	e := encoder(t)
	var first, second bytes.Buffer
	require.NoError(t, features.WriteEncoder(&first, e))
	require.NoError(t, features.WriteEncoder(&second, e))
	require.Equal(t, first.Bytes(), second.Bytes())
	back, err := features.ReadEncoder(&first)
	require.NoError(t, err)
	require.Equal(t, e, back) // floats survive to the last bit
	require.Equal(t, e.MeanUser, back.User(features.Record{"line": "1"}), "no user features: the mean")
	require.False(t, back.HasUserFeatures(features.Record{"line": "1"}))
	back.UserSide = back.ItemSide
	require.True(t, back.HasUserFeatures(features.Record{"line": "1"}))
	require.False(t, back.HasUserFeatures(features.Record{"shoe": "1"}))
	require.Equal(t, back.ItemSide.Predict(features.Record{"line": "1"}), back.User(features.Record{"line": "1"}))
}

func TestDamagedEncoderIsRefused(t *testing.T) {
	t.Parallel()
	var good bytes.Buffer
	require.NoError(t, features.WriteEncoder(&good, encoder(t)))
	for name, c := range map[string]struct{ from, to, want string }{
		"another format":      {"encoder/1", "encoder/9", `format "millrace/encoder/9"`},
		"another dimension":   {`"dimension":3`, `"dimension":4`, "gramian is not 4×4"},
		"λ missing":           {`"lambda":0.01`, `"lambda":0`, "lambda is 0"},
		"a position too many": {`"kind":"number"`, `"kind":"category","categories":["a"]`, "rows of weights"},
		"a kind nobody knows": {`"kind":"number"`, `"kind":"colour"`, `field price has kind "colour"`},
		"cut in the middle":   {`"gramian"`, "", "encoder: not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := features.ReadEncoder(strings.NewReader(strings.Replace(good.String(), c.from, c.to, 1)))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAnyRecordEncodesWithinTheWidth(t *testing.T) {
	t.Parallel()
	e := shopEncoding(t)
	rapid.Check(t, func(t *rapid.T) {
		terms := e.Encode(rapid.MapOf(rapid.SampledFrom([]string{"city", "credit", "x"}), rapid.String()).Draw(t, "record"))
		last := -1
		for _, term := range terms {
			require.Greater(t, term.Position, last)
			require.LessOrEqual(t, term.Value, 4.0)
			require.GreaterOrEqual(t, term.Value, -4.0)
			last = term.Position
		}
		require.Less(t, last, e.Width())
	})
}

func TestServingLinksNoParquet(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(list), "shared/cholesky")
	require.NotContains(t, strings.ToLower(string(list)), "parquet")
}
