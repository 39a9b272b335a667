package model

import (
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/cooccurrence"
	"github.com/millrace/millrace/shared/features"
)

// Content is a trained model before it is written: everything in the artifact but its name and its lineage.
type Content struct {
	Items, Users []Entity // ascending by ID
	Encoder      features.Encoder
	Metrics      Metrics
	Seen         Seen
	// Cooccurrences are numbered like Seen.Items; nil for a model that is not tuned on sessions.
	Cooccurrences *cooccurrence.Table
}

// Entity is a row of items.parquet or users.parquet.
type Entity struct {
	ID        string
	Name      string // for people; the id if the table has none
	Embedding []float32
	Bias      float32         // log(1 + sum of interaction weights): orders the fallback to popularity
	Cold      bool            // without interactions: the embedding is predicted from features, or is the mean
	Features  features.Record // raw values
}

// Seen is what the model learned from, by number: evaluation masks it.
type Seen struct {
	Users, Items []string // ids of the matrix's rows and columns, ascending
	Matrix       als.Interactions
}
