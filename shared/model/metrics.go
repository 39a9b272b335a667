package model

import "github.com/millrace/millrace/shared/evaluate"

// Metrics is metrics.json: how good the model is, beside what, measured how, and every setting that was tried.
type Metrics struct {
	State      string              `json:"state"` // lake.Candidate or lake.Rejected
	Reason     string              `json:"reason"`
	Model      evaluate.Metrics    `json:"model"`
	Confidence evaluate.Confidence `json:"model_confidence_95"`
	Popularity evaluate.Metrics    `json:"popularity"`
	// ItemNeighbours is item-based collaborative filtering; absent if it would take too long.
	ItemNeighbours *evaluate.Metrics   `json:"item_neighbours,omitempty"`
	Gain           evaluate.Difference `json:"gain_over_popularity"`
	Active         *Comparison         `json:"active,omitempty"` // absent if no model was active, or comparable
	HoldOut        HoldOut             `json:"hold_out"`
	Settings       Settings            `json:"settings"`
	Trials         []Trial             `json:"trials"`
	// TuningStopped says why trials are missing: empty if the whole search ran.
	TuningStopped string    `json:"tuning_stopped,omitempty"`
	ColdStart     ColdStart `json:"cold_start"`
	Data          Data      `json:"data"`
}

// Comparison is with another model, trained as it was but without the test part.
type Comparison struct {
	Version string              `json:"version"`
	Model   evaluate.Metrics    `json:"model"`
	Gain    evaluate.Difference `json:"gain"` // of this model over the other
}

// HoldOut says what the figures were measured on. The model that is measured has not seen these pairs; the model
// that is published is trained with the same settings on everything.
type HoldOut struct {
	Method     string `json:"method"` // leave_out | by_time | next_item
	Reason     string `json:"reason"`
	Train      int    `json:"train_pairs"` // pairs the measured model learned from
	Test       int    `json:"test_pairs"`
	Validation int    `json:"validation_pairs"` // taken from Train while tuning
}

// Settings are those of the published model.
type Settings struct {
	Dimension  int     `json:"dimension"`
	Epochs     int     `json:"epochs"`
	Alpha0     float64 `json:"alpha0"`
	Lambda     float64 `json:"lambda"`
	Weights    string  `json:"weights"`         // how the weight w of a pair counts: linear (w), logarithmic (log(1+w)) or equal (1)
	WeightUnit float64 `json:"weight_unit"`     // weights so counted are divided by it: their mean
	Decay      float64 `json:"decay,omitempty"` // of sessions: an item weighs so much of the one after it
	Blend      float64 `json:"blend,omitempty"` // of sessions: weight of what items co-occur with beside the factors
	Seed       uint64  `json:"seed"`
}

// Trial is one setting measured on the validation pairs.
type Trial struct {
	Dimension  int              `json:"dimension"`
	Alpha0     float64          `json:"alpha0"`
	Lambda     float64          `json:"lambda"`
	Weights    string           `json:"weights"`
	Decay      float64          `json:"decay,omitempty"`
	Blend      float64          `json:"blend,omitempty"`
	Epochs     int              `json:"epochs"` // the best of those measured along the way
	Validation evaluate.Metrics `json:"validation"`
	Failure    string           `json:"failure,omitempty"`
}

// ColdStart says how well those are served whom the model does not know, and what features are worth.
type ColdStart struct {
	UserSide *ColdSide `json:"users,omitempty"` // absent if there are too few of them to keep any out
	ItemSide *ColdSide `json:"items,omitempty"`
	// The share of the variance of trained embeddings that predictions from features alone explain, each left out in turn. Absent for a
	// side without features.
	UsersExplained *float64 `json:"users_explained,omitempty"`
	ItemsExplained *float64 `json:"items_explained,omitempty"`
	Users          int      `json:"cold_users"` // in the artifact with an embedding from features or the mean
	Items          int      `json:"cold_items"`
}

// ColdSide is measured by a training without HeldOut users or items.
type ColdSide struct {
	HeldOut      int          `json:"held_out"`
	FromFeatures *ColdFigures `json:"from_features,omitempty"` // on all of their interactions
	FoldedIn     *ColdFigures `json:"folded_in,omitempty"`     // from half of their interactions, on the other half
}

// ColdFigures of users rank all items, beside popularity. Those of items rank the new items among themselves, for known users, in a list
// of a tenth of them; the baseline is chance, or popularity in the half that was folded in.
type ColdFigures struct {
	Model    evaluate.Metrics `json:"model"`
	Baseline evaluate.Metrics `json:"baseline"`
}

// Data sizes the input.
type Data struct {
	Users        int   `json:"users"` // with interactions
	Items        int   `json:"items"`
	Rows         int64 `json:"rows"`
	Pairs        int   `json:"pairs"`         // distinct; weights of repeated pairs are summed
	WithoutValue int64 `json:"rows_weight_0"` // rows whose weight is zero or NULL: no interaction
}

// Headline is what the manifest repeats of the metrics.
func (m Metrics) Headline() map[string]any {
	return map[string]any{
		"model": m.Model, "model_confidence_95": m.Confidence, "popularity": m.Popularity, "gain_over_popularity": m.Gain,
		"dimension": m.Settings.Dimension, "alpha0": m.Settings.Alpha0, "lambda": m.Settings.Lambda, "epochs": m.Settings.Epochs,
	}
}
