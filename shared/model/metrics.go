package model

import "github.com/millrace/millrace/shared/evaluate"

// Metrics is metrics.json: how good the model is, beside what, measured how, and every setting that was tried.
type Metrics struct {
	State      string              `json:"state"` // lake.Candidate or lake.Rejected
	Reason     string              `json:"reason"`
	Model      evaluate.Metrics    `json:"model"`
	Popularity evaluate.Metrics    `json:"popularity"`
	Gain       evaluate.Difference `json:"gain_over_popularity"`
	HoldOut    HoldOut             `json:"hold_out"`
	Settings   Settings            `json:"settings"`
	Trials     []Trial             `json:"trials"`
	// TuningStopped says why trials are missing: empty if the whole search ran.
	TuningStopped string    `json:"tuning_stopped,omitempty"`
	ColdStart     ColdStart `json:"cold_start"`
	Data          Data      `json:"data"`
}

// HoldOut says what the figures were measured on. The model that is measured has not seen these pairs; the model
// that is published is trained with the same settings on everything.
type HoldOut struct {
	Method     string `json:"method"` // leave_out | by_time
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
	WeightUnit float64 `json:"weight_unit"` // weights are divided by it: the mean weight of a pair
	Seed       uint64  `json:"seed"`
}

// Trial is one setting measured on the validation pairs.
type Trial struct {
	Dimension  int              `json:"dimension"`
	Alpha0     float64          `json:"alpha0"`
	Lambda     float64          `json:"lambda"`
	Epochs     int              `json:"epochs"` // the best of those measured along the way
	Validation evaluate.Metrics `json:"validation"`
	Failure    string           `json:"failure,omitempty"`
}

// ColdStart says what features are worth: the share of the variance of trained embeddings that predictions from
// features alone explain, each left out in turn. It is absent for a side without features.
type ColdStart struct {
	UsersExplained *float64 `json:"users_explained,omitempty"`
	ItemsExplained *float64 `json:"items_explained,omitempty"`
	Users          int      `json:"cold_users"` // in the artifact with an embedding from features or the mean
	Items          int      `json:"cold_items"`
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
		"model": m.Model, "popularity": m.Popularity, "gain_over_popularity": m.Gain,
		"dimension": m.Settings.Dimension, "alpha0": m.Settings.Alpha0, "lambda": m.Settings.Lambda, "epochs": m.Settings.Epochs,
	}
}
