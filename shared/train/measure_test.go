package train_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/evaluate"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/train"
)

// A quarter of the rows is left out of training and then measured on what was written.
func TestPublishedModelFindsTheTasteItLearned(t *testing.T) {
	t.Parallel()
	list := shop(11)
	var learned, left []rating
	taken := map[string]bool{}
	for k, r := range list {
		if pair := r.user + "|" + r.item; k%12 < 9 {
			learned = append(learned, r)
			taken[pair] = true
		}
	}
	for k, r := range list {
		if pair := r.user + "|" + r.item; k%12 >= 9 && !taken[pair] {
			left = append(left, r)
		}
	}
	content, err := train.Run(t.Context(), train.Input{Interactions: collect(t, learned)}, quick, nil)
	require.NoError(t, err)
	store := lake.NewDirectory(t.TempDir())
	_, _, err = model.Write(t.Context(), model.Destination{Store: store}, content)
	require.NoError(t, err)
	a, err := model.Open(t.Context(), store, model.ManifestFile)
	require.NoError(t, err)

	m, err := train.Measure(t.Context(), a, collect(t, left), 5)
	require.NoError(t, err)
	require.Greater(t, m.NDCG, 1.5*m.Popularity.NDCG)
	require.Zero(t, m.UnknownUsers)
	require.Zero(t, m.UnknownItems)

	again, err := train.Measure(t.Context(), a, collect(t, append(learned, left...)), 5)
	require.NoError(t, err)
	require.Equal(t, m, again, "what the model was trained on is masked")

	strange, err := train.Measure(t.Context(), a, collect(t, append(left, rating{"stranger", "item-00", 1, 0}, rating{left[0].user, "no such item", 1, 0})), 5)
	require.NoError(t, err)
	require.Equal(t, 1, strange.UnknownUsers)
	require.Equal(t, 1, strange.UnknownItems)
	require.Less(t, strange.Recall, m.Recall, "an item that the model lacks counts as not found")
	require.Equal(t, m.Users, strange.Users)

	_, err = train.Measure(t.Context(), a, collect(t, []rating{{"stranger", "item-00", 1, 0}}), 5)
	require.ErrorIs(t, err, evaluate.ErrNobody)
	require.ErrorContains(t, err, "do the ids in the test file belong to this model?")
}

func TestFormatOfTheFileDoesNotChangeTheModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var comma, tab strings.Builder
	var parquet bytes.Buffer
	cols := []schema.Column{
		{Name: "item", Kind: schema.String}, {Name: "user", Kind: schema.String},
		{Name: "weight", Kind: schema.Decimal, Precision: 10, Scale: 2, Nullable: true}, {Name: "time", Kind: schema.Datetime},
	}
	out, err := parquetwriter.New(&parquet, cols)
	require.NoError(t, err)
	comma.WriteString("item,user,weight,time\n")
	tab.WriteString("item\tuser\tweight\ttime\n")
	for k, r := range shop(12) {
		cents := int64(r.weight * 100)
		decimal := fmt.Sprintf("%d.%02d", cents/100, cents%100)
		if k == 5 {
			decimal = "" // NULL
		}
		day := fmt.Sprintf("2026-%02d-%02d", 1+r.at/1000, 1+r.at%20)
		fmt.Fprintf(&comma, "%q,%s,%s,%s\n", r.item, r.user, decimal, day)
		fmt.Fprintf(&tab, "%s\t%s\t%s\t%s\n", r.item, r.user, decimal, day)
		var when int64
		for _, layout := range []int64{(1 + r.at/1000) * 31, 1 + r.at%20} { // ordered as the days are
			when += layout * 86400e6
		}
		require.NoError(t, out.Append(schema.Row{
			{Bytes: []byte(r.item)}, {Bytes: []byte(r.user)}, {Int: cents, Null: k == 5}, {Int: when},
		}))
	}
	require.NoError(t, out.Close())
	var first model.Content
	for n, f := range []struct {
		name string
		text []byte
	}{{"x.csv", []byte(comma.String())}, {"x.tsv", []byte(tab.String())}, {"x.parquet", parquet.Bytes()}} {
		path := filepath.Join(dir, f.name)
		require.NoError(t, os.WriteFile(path, f.text, 0o600))
		x, err := train.ReadFile(path, full)
		require.NoError(t, err)
		content, err := train.Run(t.Context(), train.Input{Interactions: x}, quick, nil)
		require.NoError(t, err)
		require.Equal(t, "by_time", content.Metrics.HoldOut.Method)
		require.EqualValues(t, 1, content.Metrics.Data.WithoutValue)
		if n == 0 {
			first = content
		}
		require.Equal(t, first, content, f.name)
	}
}

func TestParquetErrorsNameRowAndColumn(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	cols := []schema.Column{{Name: "user", Kind: schema.String, Nullable: true}, {Name: "item", Kind: schema.String}}
	out, err := parquetwriter.New(&file, cols)
	require.NoError(t, err)
	require.NoError(t, out.Append(schema.Row{{Bytes: []byte("u")}, {Bytes: []byte("i")}}))
	require.NoError(t, out.Append(schema.Row{{Null: true}, {Bytes: []byte("i")}}))
	require.NoError(t, out.Close())
	path := write(t, "x.parquet", file.String())
	_, err = train.ReadFile(path, plain)
	require.ErrorContains(t, err, "x.parquet:2: column user: is NULL or empty")
	_, err = train.ReadFile(path, train.Columns{User: "user", Item: "product"})
	require.ErrorContains(t, err, `x.parquet: no column "product", there are user, item: say which one holds the item`)
	_, err = train.ReadFile(path, train.Columns{User: "user", Item: "item", Weight: "item"})
	require.ErrorContains(t, err, "x.parquet:1: column item: is a string, want a number")
}
