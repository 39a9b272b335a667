package laketable_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

var cols = []schema.Column{{Name: "id", Kind: schema.Int, Bits: 32}, {Name: "name", Kind: schema.String, Nullable: true}}

// publish writes three rows and returns the file as a marker would list it.
func publish(t *testing.T) (lake.Store, lake.File) {
	store := lake.NewDirectory(t.TempDir())
	sum := checksum.New(cols)
	f, err := lake.Write(t.Context(), store, "curated/x/part-00000.parquet", func(w io.Writer) error {
		out, err := parquetwriter.New(w, cols)
		require.NoError(t, err)
		for _, row := range []schema.Row{{{Int: 1}, {Bytes: []byte("Łódź")}}, {{Int: 2}, {Null: true}}, {{Int: 3}, {Bytes: []byte{}}}} {
			sum.Add(row)
			require.NoError(t, out.Append(row))
		}
		return out.Close()
	})
	require.NoError(t, err)
	f.Rows, f.Checksum = 3, sum.Sum()
	return store, f
}

func read(t *testing.T, s lake.Store, f lake.File, cols []schema.Column) (texts []string, err error) {
	for row, err := range laketable.Rows(t.Context(), s, f, cols) {
		if err != nil {
			return texts, err
		}
		texts = append(texts, string(checksum.AppendText(nil, cols, row)))
	}
	return texts, nil
}

func TestRowsAreThoseThatWerePublished(t *testing.T) {
	t.Parallel()
	store, f := publish(t)
	texts, err := read(t, store, f, cols)
	require.NoError(t, err)
	require.Equal(t, []string{"1\x1fŁódź", "2\x1f\x00", "3\x1f"}, texts)
}

func TestReadingMayStopEarly(t *testing.T) {
	t.Parallel()
	store, f := publish(t)
	for row, err := range laketable.Rows(t.Context(), store, f, cols) {
		require.NoError(t, err)
		require.EqualValues(t, 1, row[0].Int)
		break
	}
}

func TestWhatTheMarkerDoesNotRecordIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(f *lake.File, cols []schema.Column)
		want   error
	}{
		"SHA-256":  {func(f *lake.File, _ []schema.Column) { f.SHA256 = "00" + f.SHA256[2:] }, lake.ErrStale},
		"size":     {func(f *lake.File, _ []schema.Column) { f.Size-- }, lake.ErrStale},
		"rows":     {func(f *lake.File, _ []schema.Column) { f.Rows++ }, laketable.ErrContent},
		"checksum": {func(f *lake.File, _ []schema.Column) { f.Checksum = f.Checksum.Plus(f.Checksum) }, laketable.ErrContent},
		"columns":  {func(_ *lake.File, cols []schema.Column) { cols[0].Name = "number" }, laketable.ErrContent},
		"missing":  {func(f *lake.File, _ []schema.Column) { f.Key += ".gone" }, lake.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, f := publish(t)
			changed := append([]schema.Column(nil), cols...)
			c.change(&f, changed)
			_, err := read(t, store, f, changed)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, "part-00000.parquet")
		})
	}
}
