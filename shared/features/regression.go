package features

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/shared/cholesky"
)

// Regression predicts an embedding from a record: the ridge regression of trained embeddings onto encoded features
// (the cold-start mapping of Gantner et al. 2010, in closed form).
type Regression struct {
	Encoding Encoding    `json:"encoding"`
	Ridge    float64     `json:"ridge"`   // chosen by leave-one-out error; the constant is not penalised
	Weights  [][]float32 `json:"weights"` // Width rows of length d
	// Explained is the share of the embeddings' variance that leave-one-out predictions explain:
	// 0 or less means that the features say nothing and every prediction is near the mean.
	Explained float64 `json:"explained"`
}

// ErrNoRecords says that there is nothing to fit a regression to.
var ErrNoRecords = errors.New("features: no trained embedding to fit the features to")

// ridges spans from "trust the features" to "nearly the mean".
var ridges = []float64{0.1, 0.3, 1, 3, 10, 30, 100, 1000}

// Fit regresses embeddings (len(records)×d, row-major) onto the records' features. The ridge is the one with the
// least exact leave-one-out error: residual/(1 − hᵢ), where h is the diagonal of the hat matrix, needs no refitting.
func Fit(fields []Field, records []Record, embeddings []float32, d int) (Regression, error) {
	if len(records) == 0 || d < 1 {
		return Regression{}, ErrNoRecords
	}
	if len(embeddings) != len(records)*d {
		return Regression{}, fmt.Errorf("features: %d values are not %d embeddings of dimension %d", len(embeddings), len(records), d)
	}
	encoding, err := FitEncoding(fields, records)
	if err != nil {
		return Regression{}, err
	}
	p := encoding.Width()
	rows := make([][]Term, len(records))
	gram, target := make([]float64, p*p), make([]float64, p*d) // XᵀX, Xᵀ·embeddings
	for n, r := range records {
		rows[n] = encoding.Encode(r)
		for _, a := range rows[n] {
			for _, b := range rows[n] {
				gram[a.Position*p+b.Position] += a.Value * b.Value
			}
			for j := range d {
				target[a.Position*d+j] += a.Value * float64(embeddings[n*d+j])
			}
		}
	}
	variance := squaredDeviation(embeddings, d)
	best := Regression{Encoding: encoding}
	least := math.Inf(1)
	for _, ridge := range ridges {
		weights, inverse, err := solve(gram, target, p, d, ridge)
		if err != nil {
			return Regression{}, fmt.Errorf("features: ridge %v: %w", ridge, err)
		}
		var loss float64
		for n, terms := range rows {
			loss += leaveOneOut(terms, embeddings[n*d:(n+1)*d], weights, inverse, p, d)
		}
		if loss < least {
			least, best.Ridge, best.Weights = loss, ridge, weights
		}
	}
	if variance > 0 {
		best.Explained = 1 - least/variance
	}
	return best, nil
}

// solve returns the weights (p rows of d) and (XᵀX + ridge·I)⁻¹.
func solve(gram, target []float64, p, d int, ridge float64) ([][]float32, []float64, error) {
	l := append([]float64(nil), gram...)
	l[0] += 1e-9 * (gram[0] + 1) // the constant is free: the mean must not shrink
	for i := 1; i < p; i++ {
		l[i*p+i] += ridge
	}
	if err := cholesky.Factor(l, p); err != nil {
		return nil, nil, err
	}
	weights := make([][]float32, p)
	for i := range weights {
		weights[i] = make([]float32, d)
	}
	column := make([]float64, p)
	for j := range d {
		for i := range p {
			column[i] = target[i*d+j]
		}
		cholesky.Solve(l, p, column)
		for i, w := range column {
			weights[i][j] = float32(w)
		}
	}
	inverse := make([]float64, p*p)
	for i := range p {
		inverse[i*p+i] = 1
		cholesky.Solve(l, p, inverse[i*p:(i+1)*p])
	}
	return weights, inverse, nil
}

// leaveOneOut is the squared error of predicting embedding from the other records.
func leaveOneOut(terms []Term, embedding []float32, weights [][]float32, inverse []float64, p, d int) float64 {
	var h float64
	for _, a := range terms {
		for _, b := range terms {
			h += a.Value * inverse[a.Position*p+b.Position] * b.Value
		}
	}
	keep := max(1-h, 1e-6) // h reaches 1 when nothing else determines the record
	var sum float64
	for j := range d {
		miss := float64(embedding[j])
		for _, t := range terms {
			miss -= t.Value * float64(weights[t.Position][j])
		}
		sum += (miss / keep) * (miss / keep)
	}
	return sum
}

func squaredDeviation(embeddings []float32, d int) float64 {
	n := len(embeddings) / d
	var sum float64
	for j := range d {
		var mean float64
		for r := range n {
			mean += float64(embeddings[r*d+j]) / float64(n)
		}
		for r := range n {
			miss := float64(embeddings[r*d+j]) - mean
			sum += miss * miss
		}
	}
	return sum
}

// Predict returns the embedding (length d) that r's features suggest.
func (g Regression) Predict(r Record) []float32 {
	sum := make([]float32, len(g.Weights[0]))
	for _, t := range g.Encoding.Encode(r) {
		for j, w := range g.Weights[t.Position] {
			sum[j] += float32(t.Value) * w
		}
	}
	return sum
}
