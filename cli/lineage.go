package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/schema"
)

// origin is a recommendation, or a model, with everything it came from.
type origin struct {
	Record  map[string]any `json:"recommendation,omitempty"`
	Rows    []sourceRow    `json:"rows,omitempty"`
	RowsAll int64          `json:"rows_of_the_user"`
	// Seen are items of the user that the model was trained on, where the training set is not there any more.
	Seen    []string     `json:"seen_items,omitempty"`
	SeenAll int64        `json:"seen_items_of_the_user,omitempty"`
	Gone    bool         `json:"training_set_replaced,omitempty"`
	Lineage lake.Lineage `json:"lineage"`
}

// sourceRow is a row of the training set's base table, by its key in MySQL.
type sourceRow struct {
	Table string            `json:"table"`
	Key   map[string]string `json:"key"`
	Row   map[string]string `json:"row"` // of the training set
}

func newLineage(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "lineage MODEL-VERSION | RECOMMENDATION-ID | EVENT-ID",
		Short: "Follow a recommendation, by its id or its event's, or a model, to the rows it came from",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.openStack(cmd.Context())
			if err != nil {
				return err
			}
			found, err := s.origin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), found, found.print)
		},
	}
}

func (s *stack) origin(ctx context.Context, id string) (origin, error) {
	var o origin
	version := id
	if _, err := lake.Layer(lake.ModelMarker(id)); err != nil || !s.hasModel(ctx, id) {
		record, err := s.findRecommendation(ctx, id)
		if err != nil {
			return o, err
		}
		o.Record = record
		version, _ = record["model_version"].(string)
	}
	var err error
	if o.Lineage, err = lake.Trace(ctx, s.lake, lake.ModelMarker(version)); err != nil {
		return o, err
	}
	if o.Record != nil {
		err = s.sourceRows(ctx, &o)
	}
	return o, err
}

func (s *stack) hasModel(ctx context.Context, version string) bool {
	body, _, err := s.lake.Get(ctx, lake.ModelMarker(version))
	if err == nil {
		err = body.Close()
	}
	return err == nil
}

// findRecommendation reads recommendations/ from the newest object back.
func (s *stack) findRecommendation(ctx context.Context, id string) (map[string]any, error) {
	keys, err := s.lake.List(ctx, "recommendations/")
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Backward(keys) {
		record, err := s.recommendationIn(ctx, key, id)
		if record != nil || err != nil {
			return record, err
		}
	}
	return nil, fmt.Errorf("no model version, recommendation_id or event_id %q (searched models/ and %d objects of recommendations/)", id, len(keys))
}

func (s *stack) recommendationIn(ctx context.Context, key, id string) (map[string]any, error) {
	body, _, err := s.lake.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if strings.Contains(string(line), id) {
			var record map[string]any
			numbers := json.NewDecoder(bytes.NewReader(line))
			numbers.UseNumber() // a user's number is compared as it was sent
			if numbers.Decode(&record) == nil && (record["recommendation_id"] == id || record["event_id"] == id) {
				return record, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
}

// sourceRows finds the user's rows in the training set, and shows first those of the items that the recommendation rests on.
func (s *stack) sourceRows(ctx context.Context, o *origin) error {
	wanted := fmt.Sprint(o.Record[s.dataset.Event.User])
	n := slices.IndexFunc(o.Lineage.Parents, func(up lake.Lineage) bool {
		return up.Header.Format == lake.TrainingFormat || up.Missing
	})
	if n < 0 {
		return nil // a model from elsewhere
	}
	trained := o.Lineage.Parents[n]
	if !trained.Intact { // a later run of the day has other rows
		return s.seenItems(ctx, o, wanted)
	}
	set, err := lake.ReadParent[lake.TrainingSuccess](ctx, s.lake, trained.Parent, lake.TrainingFormat)
	if err != nil {
		return err
	}
	user := schema.Index(set.Columns, s.dataset.Training.User)
	base, err := s.dataset.Table(s.dataset.Training.Base)
	if err != nil {
		return err
	}
	for _, file := range set.Files {
		for row, err := range laketable.Rows(ctx, s.lake, file, set.Columns) {
			if err != nil {
				return err
			}
			if schema.Text(set.Columns[user], row[user]) != wanted {
				continue
			}
			o.RowsAll++
			if len(o.Rows) == shownRows {
				continue
			}
			found := sourceRow{Table: s.dataset.Training.Base, Key: map[string]string{}, Row: map[string]string{}}
			for i, c := range set.Columns {
				found.Row[c.Name] = schema.Text(c, row[i])
			}
			for _, k := range base.Key {
				found.Key[k] = found.Row[k]
			}
			o.Rows = append(o.Rows, found)
		}
	}
	return nil
}

// seenItems reads what the model itself says of the user.
func (s *stack) seenItems(ctx context.Context, o *origin, user string) error {
	o.Gone = true
	artifact, err := model.Open(ctx, s.lake, o.Lineage.Key)
	if err != nil {
		return err
	}
	for pair, err := range artifact.Interactions(ctx) {
		if err != nil {
			return err
		}
		if pair.User != user {
			continue
		}
		o.SeenAll++
		if len(o.Seen) < shownRows {
			o.Seen = append(o.Seen, pair.Item)
		}
	}
	return nil
}

// shownRows is enough to go and look in MySQL; a good customer has hundreds.
const shownRows = 5

func (o origin) print(w io.Writer) {
	if o.Record != nil {
		fmt.Fprintf(w, "recommendation %v for event %v (%v)\n", o.Record["recommendation_id"], o.Record["event_id"], o.Record["strategy"])
		for _, row := range o.Rows {
			var where []string
			for column, value := range row.Key {
				where = append(where, column+" = '"+value+"'")
			}
			slices.Sort(where)
			fmt.Fprintf(w, "  learned from MySQL %s WHERE %s\n", row.Table, strings.Join(where, " AND "))
		}
		if more := o.RowsAll - int64(len(o.Rows)); more > 0 {
			fmt.Fprintf(w, "  … and %d more rows of this user\n", more)
		}
		switch {
		case o.Gone && o.SeenAll > 0:
			fmt.Fprintf(w, "  the training set was replaced since; the model was trained on %s of this user: %s", plural(int(o.SeenAll), "item"), strings.Join(o.Seen, ", "))
			if o.SeenAll > int64(len(o.Seen)) {
				fmt.Fprint(w, ", …")
			}
			fmt.Fprintln(w)
		case o.RowsAll == 0:
			fmt.Fprintln(w, "  the training set has no row of this user: the session and the features alone speak")
		}
	}
	printLineage(w, o.Lineage, "")
}

// printLineage prints a marker and, further in, those it was made from.
func printLineage(w io.Writer, n lake.Lineage, indent string) {
	state := "marker CHANGED since"
	switch {
	case n.Missing:
		state = "not here: expired, or in another directory"
	case n.Intact:
		state = "marker unchanged"
	}
	what := ""
	if n.Rows > 0 {
		what = fmt.Sprintf("  %d rows", n.Rows)
	}
	if n.Server != "" {
		what += "  from MySQL " + n.Server
	}
	fmt.Fprintf(w, "%s← %s  sha256 %.12s…  %s%s\n", indent, n.Key, n.SHA256, state, what)
	for _, up := range n.Parents {
		printLineage(w, up, indent+"  ")
	}
}
