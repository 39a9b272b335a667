package extract_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/extract"
	"github.com/millrace/millrace/shared/lake"
)

func TestChangesOfATableAreCarriedOrRefusedUntilAcknowledged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  string
		carried []string          // in the manifest
		refused []string          // parts of the error
		accept  map[string]string // what the error asks for
		after   []string          // in the manifest then
	}{
		"a new column":  {change: "ADD note VARCHAR(10) AFTER id", carried: []string{"column note varchar(10) is new"}},
		"a longer text": {change: "MODIFY city VARCHAR(500) NOT NULL"},
		"NULL allowed":  {change: "MODIFY city VARCHAR(20) NULL", carried: []string{"column city can be NULL now"}},
		"NULL no more":  {change: "MODIFY price DECIMAL(10,2) NOT NULL"},
		"another order": {change: "MODIFY city VARCHAR(20) NOT NULL FIRST"},
		"a dropped column": {
			change:  "DROP city",
			refused: []string{"column city varchar(20) was dropped", "under tables.places.extract:\n  drift: {\"city\": \"dropped\"}"},
			accept:  map[string]string{"city": dataset.Dropped}, after: []string{"column city varchar(20) was dropped (acknowledged)"},
		},
		"another type": {
			change:  "MODIFY price DECIMAL(12,2)",
			refused: []string{"column price was decimal(10,2), is decimal(12,2)", "shared/dataset/shop.yaml", `drift: {"price": "decimal(12,2)"}`},
			accept:  map[string]string{"price": "decimal(12,2)"}, after: []string{"column price was decimal(10,2), is decimal(12,2) (acknowledged)"},
		},
		"a renamed column": {
			change: "CHANGE city town VARCHAR(20) NOT NULL", refused: []string{"column city varchar(20) was dropped"},
			accept: map[string]string{"city": dataset.Dropped}, after: []string{"column city varchar(20) was dropped (acknowledged)", "column town varchar(20) is new"},
		},
		"two at once": {
			change: "DROP city, MODIFY id BIGINT", refused: []string{"column id was int(11), is bigint(20)", "column city varchar(20) was dropped", `drift: {"id": "bigint(20)", "city": "dropped"}`},
			accept: map[string]string{"id": "bigint(20)", "city": dataset.Dropped}, after: []string{"column id was int(11), is bigint(20) (acknowledged)", "column city varchar(20) was dropped (acknowledged)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, e, dir := setup(t)
			db.Exec(t, "CREATE TABLE places (id INT PRIMARY KEY, city VARCHAR(20) NOT NULL, price DECIMAL(10,2))", "INSERT INTO places VALUES (1, 'Nantes', 2.5)")
			r := request("places")
			r.Run = first
			_, err := e.Extract(context.Background(), r)
			require.NoError(t, err)
			before := objects(t, dir)
			db.Exec(t, "ALTER TABLE places "+c.change)

			r.Run = second
			result, err := e.Extract(context.Background(), r)
			want := c.carried
			if c.refused != nil {
				drift := new(extract.DriftError)
				require.ErrorAs(t, err, &drift)
				for _, part := range c.refused {
					require.ErrorContains(t, err, part)
				}
				require.Equal(t, before, objects(t, dir), "nothing is written")
				r.Settings.Extract.Drift = c.accept
				result, err = e.Extract(context.Background(), r)
				want = c.after
			}
			require.NoError(t, err)
			require.Equal(t, want, result.Manifest.Drift)

			r.Run = third
			r.Settings.Extract.Drift = nil
			result, err = e.Extract(context.Background(), r)
			require.NoError(t, err, "it is compared with the run before, which has the change")
			require.Empty(t, result.Manifest.Drift)
		})
	}
}

func TestTablesOfTwoDatabasesDoNotLieInOnePlace(t *testing.T) {
	t.Parallel()
	_, e, _ := setup(t)
	r := request("ratings")
	r.Run = first
	_, err := e.Extract(context.Background(), r)
	require.NoError(t, err)
	r.Run, r.Dataset = second, "another"
	_, err = e.Extract(context.Background(), r)
	require.ErrorContains(t, err, `earlier run `+lake.RawMarker("ratings", first)+` is of dataset "shop", this one of "another"`)
}
