package features

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// EncoderFormat is the format written into encoder.json: a reader refuses what it does not know.
const EncoderFormat = "millrace/encoder/1"

// Encoder is encoder.json: what serving needs of a model beside the embeddings themselves.
//
// Package foldin says how a user vector follows from a session: raw weights are divided by WeightUnit there as here, and
// the prior is the trained embedding, else User(features), which falls back to MeanUser.
type Encoder struct {
	Format     string      `json:"format"`
	Version    string      `json:"version"`
	Dimension  int         `json:"dimension"`
	Alpha0     float64     `json:"alpha0"` // α0, weight of a pair nobody observed
	Lambda     float64     `json:"lambda"` // λ
	Items      int         `json:"items"`  // |V|, items with interactions: the rows behind Gramian
	Users      int         `json:"users"`  // |U|, users with interactions
	WeightUnit float64     `json:"weight_unit"`
	Decay      float64     `json:"decay,omitempty"` // an item of a session weighs so much of the one after it; 0: not tuned on sessions
	Blend      float64     `json:"blend,omitempty"` // weight of co-occurrences beside the embeddings (foldin.Space.Blend); 0: none
	Gramian    []float32   `json:"gramian"`         // G = Σ v·vᵀ over the items with interactions, d×d row-major
	MeanUser   []float32   `json:"mean_user"`       // mean of the trained user embeddings
	UserSide   *Regression `json:"user_features,omitempty"`
	ItemSide   *Regression `json:"item_features,omitempty"`
}

// User returns the prior of a user without interactions: from the features if the model has them, else the mean.
func (e *Encoder) User(r Record) []float32 {
	if e.UserSide == nil {
		return append([]float32(nil), e.MeanUser...)
	}
	return e.UserSide.Predict(r)
}

// HasUserFeatures says whether at least one field of r is one the model learned from: else User is no more than a mean.
func (e *Encoder) HasUserFeatures(r Record) bool {
	if e.UserSide != nil {
		for _, f := range e.UserSide.Encoding.Fields {
			if _, known := r[f.Name]; known {
				return true
			}
		}
	}
	return false
}

// WriteEncoder writes e as JSON; the bytes depend on e alone.
func WriteEncoder(w io.Writer, e *Encoder) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	return json.NewEncoder(w).Encode(e)
}

// ReadEncoder reads and checks encoder.json: what it returns can be computed with.
func ReadEncoder(r io.Reader) (*Encoder, error) {
	var e Encoder
	if err := json.NewDecoder(r).Decode(&e); err != nil {
		return nil, fmt.Errorf("encoder: not JSON of the expected form: %w", err)
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	return &e, nil
}

func (e *Encoder) validate() error {
	if e.Format != EncoderFormat {
		return fmt.Errorf("format %q, want %q: written by another version of millrace", e.Format, EncoderFormat)
	}
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	d := e.Dimension
	check(d > 0, "dimension is %d", d)
	check(positive(e.Alpha0), "alpha0 is %v", e.Alpha0)
	check(positive(e.Lambda), "lambda is %v", e.Lambda)
	check(positive(e.WeightUnit), "weight_unit is %v", e.WeightUnit)
	check(e.Decay >= 0 && e.Decay <= 1, "decay is %v", e.Decay)
	check(e.Blend == 0 || positive(e.Blend), "blend is %v", e.Blend)
	check(len(e.Gramian) == d*d && finite(e.Gramian), "gramian is not %d×%d finite numbers", d, d)
	check(len(e.MeanUser) == d && finite(e.MeanUser), "mean_user is not %d finite numbers", d)
	for n, g := range []*Regression{e.UserSide, e.ItemSide} {
		if g == nil {
			continue
		}
		side := []string{"user_features", "item_features"}[n]
		check(len(g.Weights) == g.Encoding.Width(), "%s has %d rows of weights for %d positions", side, len(g.Weights), g.Encoding.Width())
		for _, row := range g.Weights {
			check(len(row) == d && finite(row), "%s: a row of weights is not %d finite numbers", side, d)
		}
		for _, f := range g.Encoding.Fields {
			check(f.Kind == Category || f.Kind == Number || f.Kind == Categories && f.Separator != "", "%s: field %s has kind %q", side, f.Name, f.Kind)
			check(f.Kind != Number || positive(f.Deviation), "%s: field %s has deviation %v", side, f.Name, f.Deviation)
		}
	}
	return errors.Join(problems...)
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }

func finite(values []float32) bool {
	for _, v := range values {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
