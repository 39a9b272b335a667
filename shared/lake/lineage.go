package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Lineage is a marker with the markers it was made from, down to the extraction.
type Lineage struct {
	Parent
	Header  Header    `json:"header"`
	Table   string    `json:"table,omitempty"`
	Rows    int64     `json:"rows,omitempty"`
	Server  string    `json:"server,omitempty"`  // raw only: the database the rows came from
	Intact  bool      `json:"intact"`            // the marker still has the content that its child recorded
	Missing bool      `json:"missing,omitempty"` // it expired, or lies in another store: nothing of it is known here
	Parents []Lineage `json:"parents,omitempty"`
}

// maxLineage bounds the walk: raw → curated → training → model is four.
const maxLineage = 8

// Trace follows a marker to the rows it came from.
func Trace(ctx context.Context, s Store, key string) (Lineage, error) {
	return trace(ctx, s, Parent{Key: key}, maxLineage)
}

func trace(ctx context.Context, s Store, p Parent, depth int) (Lineage, error) {
	if depth == 0 {
		return Lineage{}, fmt.Errorf("lineage of %s: markers name each other in a circle", p.Key)
	}
	body, _, err := readAll(ctx, s, p.Key)
	if err != nil {
		return Lineage{}, fmt.Errorf("lineage: %w", err)
	}
	var marker struct {
		Header
		Table    string   `json:"table"`
		Rows     int64    `json:"rows"`
		Snapshot Snapshot `json:"snapshot"`
	}
	if err := json.Unmarshal(body, &marker); err != nil {
		return Lineage{}, fmt.Errorf("lineage: marker %s: %w", p.Key, err)
	}
	now := parentOf(p.Key, body)
	node := Lineage{
		Parent: now, Header: marker.Header, Table: marker.Table, Rows: marker.Rows,
		Server: marker.Snapshot.Server, Intact: p.SHA256 == "" || p.SHA256 == now.SHA256,
	}
	if marker.Format == RawFormat {
		return node, nil // its rows came from the database; the run before only says where this one began
	}
	for _, up := range marker.Parents {
		above, err := trace(ctx, s, up, depth-1)
		if errors.Is(err, ErrNotFound) {
			above = Lineage{Parent: up, Missing: true}
		} else if err != nil {
			return Lineage{}, err
		}
		node.Parents = append(node.Parents, above)
	}
	return node, nil
}
