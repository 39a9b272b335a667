package lake

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/schema"
)

// Formats of the markers: a reader refuses what it does not know.
const (
	RawFormat           = "millrace/raw/1"
	RawCheckpointFormat = "millrace/raw-checkpoint/1"
	CuratedFormat       = "millrace/curated/1"
	TrainingFormat      = "millrace/training/1"
	ModelFormat         = "millrace/model/1"
)

// Header begins every marker.
type Header struct {
	Format  string   `json:"format"`
	Dataset string   `json:"dataset"`
	Run     Run      `json:"run"`
	Parents []Parent `json:"parents,omitempty"` // the markers this publication was made from
}

// MarkerHeader gives any marker's header.
func (h Header) MarkerHeader() Header { return h }

// Parent is a marker by key and content, so that lineage can be followed and checked.
type Parent struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// File is one object a marker lists. Readers check all of it.
type File struct {
	Key      string       `json:"key"`
	Size     int64        `json:"size"` // bytes
	SHA256   string       `json:"sha256"`
	Rows     int64        `json:"rows"`
	Checksum checksum.Sum `json:"checksum"`
	// Partition is the file's partition, in the order of the marker's PartitionBy (curated only).
	Partition []PartitionValue `json:"partition,omitempty"`
}

// PartitionValue is a partition column's value as text; nil is NULL.
type PartitionValue struct {
	Column string  `json:"column"`
	Value  *string `json:"value"`
}

// RawManifest ends one run of a table: raw/<table>/dt=…/run=…/_MANIFEST.json.
type RawManifest struct {
	Header
	Table     string          `json:"table"`
	Mode      string          `json:"mode"` // full | incremental
	Columns   []schema.Column `json:"columns"`
	Key       []string        `json:"key,omitempty"` // primary key
	Snapshot  Snapshot        `json:"snapshot"`
	Watermark *Watermark      `json:"watermark,omitempty"`
	Chunks    []Chunk         `json:"chunks"`
	Files     []File          `json:"files"`
	Rows      int64           `json:"rows"`
	Checksum  checksum.Sum    `json:"checksum"`        // of the values written
	Source    checksum.Sum    `json:"source_checksum"` // computed by the server, in the same snapshot
	// ZeroDates counts, per column, the zero and partial-zero dates that became NULL.
	ZeroDates map[string]int64 `json:"zero_dates,omitempty"`
	// InvalidText counts, per column, the texts that were not valid UTF-8 and became NULL.
	InvalidText map[string]int64 `json:"invalid_text,omitempty"`
	// Drift lists how the columns differ from those of the run before.
	Drift []string `json:"drift,omitempty"`
}

// Kinds of snapshots.
const (
	Consistent = "consistent" // one transaction saw everything
	Fuzzy      = "fuzzy"      // several did, or the storage engine keeps no snapshots
)

// Snapshot says honestly what the files are a picture of.
type Snapshot struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Server string `json:"server"`             // version as the server gives it
	Log    string `json:"position,omitempty"` // binlog position or GTID where the server gives it
	// Positions are those of several snapshots, "" where the server gave none; each chunk says which is its own.
	Positions []string `json:"positions,omitempty"`
}

// Watermark bounds an incremental run: low ≤ column ≤ high.
type Watermark struct {
	Column string  `json:"column"`
	Low    *string `json:"low,omitempty"` // nil: from the beginning
	High   string  `json:"high"`
}

// Chunk is one key range with the server's figures and ours.
type Chunk struct {
	From     []string     `json:"from,omitempty"`     // first key, inclusive; absent: from the beginning
	To       []string     `json:"to,omitempty"`       // first key of the next chunk; absent: to the end
	File     int          `json:"file"`               // index into Files
	Snapshot int          `json:"snapshot,omitempty"` // index into Snapshot.Positions, if there are any
	Checksum checksum.Sum `json:"checksum"`
	Source   checksum.Sum `json:"source_checksum"`
}

// CuratedSuccess publishes one day of a table: curated/<table>/dt=…/_SUCCESS.
type CuratedSuccess struct {
	Header
	Table       string          `json:"table"`
	Mode        string          `json:"mode,omitempty"`      // of the run: an incremental one holds only the day's changes
	Watermark   *Watermark      `json:"watermark,omitempty"` // of the run
	Columns     []schema.Column `json:"columns"`
	Key         []string        `json:"key,omitempty"`
	PartitionBy []string        `json:"partition_by,omitempty"`
	Files       []File          `json:"files"`
	Rows        int64           `json:"rows"`
	Checksum    checksum.Sum    `json:"checksum"`
}

// TrainingSuccess publishes a training set: training/<dataset>/dt=…/_SUCCESS.
type TrainingSuccess struct {
	Header
	Table    string          `json:"table"` // its name in the catalog
	Columns  []schema.Column `json:"columns"`
	Files    []File          `json:"files"`
	Rows     int64           `json:"rows"`
	Checksum checksum.Sum    `json:"checksum"`
	// Orphans counts base rows dropped because the named lookup table has no match.
	Orphans map[string]int64 `json:"orphans,omitempty"`
	// Engine is what joined, lambda or athena, and EngineReason why.
	Engine       string `json:"engine,omitempty"`
	EngineReason string `json:"engine_reason,omitempty"`
}

// Model states in a manifest.
const (
	Candidate = "candidate" // passed its gate: the loader activates it
	Rejected  = "rejected"  // published for the record, never loaded
)

// ModelManifest publishes a version: models/<version>/manifest.json.
type ModelManifest struct {
	Header
	Version   string         `json:"version"`
	State     string         `json:"state"`
	Reason    string         `json:"reason"`    // why it is in this state
	Dimension int            `json:"dimension"` // of every embedding
	Distance  string         `json:"distance"`  // how a score is computed: inner_product
	Counts    ModelCounts    `json:"counts"`
	Metrics   map[string]any `json:"metrics,omitempty"` // the headline figures of metrics.json
	Files     []File         `json:"files"`
}

// ModelCounts sizes a model.
type ModelCounts struct {
	Items        int64 `json:"items"`
	Users        int64 `json:"users"`
	Interactions int64 `json:"interactions"`
}

// ModelVersion names the model trained on a training set: the same input has the same name.
func ModelVersion(run Run, trainingMarker Parent) string {
	return fmt.Sprintf("%s-%.8s", run, trainingMarker.SHA256)
}

// Day is the dt of the streaming side's own folders.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
