// Package model is the artifact of a training: its files, its manifest, and how they are written and verified.
//
//	items.parquet users.parquet   id, name, embedding list<float32>, bias, cold, features (JSON)
//	interactions.parquet          user, item, weight: what the model has seen, so that an evaluation can mask it
//	cooccurrences.parquet         item, other, strength: which items follow which in sessions, if the model was tuned on sessions
//	encoder.json                  what serving needs beside the embeddings (package features)
//	metrics.json                  how good it is and how that was found out
//	manifest.json                 lists all of them with size and SHA-256; written last
package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

// Names of an artifact's files.
const (
	ItemsFile         = "items.parquet"
	UsersFile         = "users.parquet"
	InteractionsFile  = "interactions.parquet"
	CooccurrencesFile = "cooccurrences.parquet"
	EncoderFile       = "encoder.json"
	MetricsFile       = "metrics.json"
	ManifestFile      = "manifest.json"
)

// InnerProduct is how a score is computed from two embeddings.
const InnerProduct = "inner_product"

// Destination says where an artifact goes and what it came from.
type Destination struct {
	Store   lake.Store
	Dir     string // "" or ends with "/"; lake.ModelDir(version) in the lake
	Version string // "": named for its content, for models that come from no run
	Dataset string
	Run     lake.Run
	Parents []lake.Parent
}

// Write writes the artifact, its manifest last. It reports false, and leaves everything as it was, when this very
// manifest is already there. The same content gives the same bytes.
func Write(ctx context.Context, to Destination, c Content) (manifest lake.ModelManifest, published bool, err error) {
	seen, err := writeRows(ctx, to, InteractionsFile, SeenColumns(), c.Seen.rows())
	if err != nil {
		return lake.ModelManifest{}, false, err
	}
	if to.Version == "" {
		if to.Version, err = contentVersion(seen, c.Metrics.Settings); err != nil {
			return lake.ModelManifest{}, false, err
		}
	}
	files := []lake.File{seen}
	for _, table := range []struct {
		name string
		list []Entity
	}{{ItemsFile, c.Items}, {UsersFile, c.Users}} {
		f, err := writeRows(ctx, to, table.name, EntityColumns(), entityRows(table.list))
		if err != nil {
			return lake.ModelManifest{}, false, err
		}
		files = append(files, f)
	}
	if c.Cooccurrences != nil {
		f, err := writeRows(ctx, to, CooccurrencesFile, CooccurrenceColumns(), cooccurrenceRows(c.Cooccurrences, c.Seen.Items))
		if err != nil {
			return lake.ModelManifest{}, false, err
		}
		files = append(files, f)
	}
	encoder := c.Encoder
	encoder.Version = to.Version
	for name, write := range map[string]func(io.Writer) error{
		EncoderFile: func(w io.Writer) error { return features.WriteEncoder(w, &encoder) },
		MetricsFile: func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(c.Metrics)
		},
	} {
		f, err := lake.Write(ctx, to.Store, to.Dir+name, write)
		if err != nil {
			return lake.ModelManifest{}, false, fmt.Errorf("model %s: %s: %w", to.Version, name, err)
		}
		files = append(files, f)
	}
	sortByKey(files)
	manifest = lake.ModelManifest{
		Header:  lake.Header{Format: lake.ModelFormat, Dataset: to.Dataset, Run: to.Run, Parents: to.Parents},
		Version: to.Version, State: c.Metrics.State, Reason: c.Metrics.Reason,
		Dimension: encoder.Dimension, Distance: InnerProduct,
		Counts:  lake.ModelCounts{Items: int64(len(c.Items)), Users: int64(len(c.Users)), Interactions: seen.Rows},
		Metrics: c.Metrics.Headline(), Files: files,
	}
	published, err = lake.Publish(ctx, to.Store, to.Dir+ManifestFile, manifest)
	if err != nil {
		return lake.ModelManifest{}, false, fmt.Errorf("model %s: %w", to.Version, err)
	}
	return manifest, published, nil
}

// contentVersion names a model of no run: the same interactions and settings have the same name.
func contentVersion(seen lake.File, s Settings) (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("model: settings: %w", err)
	}
	sum := sha256.Sum256(append([]byte(seen.SHA256), text...))
	return "local-" + hex.EncodeToString(sum[:4]), nil
}

func writeRows(ctx context.Context, to Destination, name string, cols []schema.Column, rows iter.Seq2[schema.Row, error]) (lake.File, error) {
	sum := checksum.New(cols)
	f, err := lake.Write(ctx, to.Store, to.Dir+name, func(w io.Writer) error {
		out, err := parquetwriter.New(w, cols)
		if err != nil {
			return err
		}
		for row, err := range rows {
			if err != nil {
				return err
			}
			sum.Add(row)
			if err := out.Append(row); err != nil {
				return err
			}
		}
		return out.Close()
	})
	if err != nil {
		return lake.File{}, fmt.Errorf("model %s: %s: %w", to.Version, name, err)
	}
	f.Rows, f.Checksum = sum.Sum().Rows, sum.Sum()
	return f, nil
}

func entityRows(list []Entity) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		for _, e := range list {
			if !yield(e.row()) {
				return
			}
		}
	}
}

// rows gives every seen pair, by user and item.
func (s Seen) rows() iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		for u := range s.Matrix.Users {
			items, weights := s.Matrix.Row(u)
			for k, i := range items {
				row := schema.Row{{Bytes: []byte(s.Users[u])}, {Bytes: []byte(s.Items[i])}, {Float: float64(weights[k])}}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}
