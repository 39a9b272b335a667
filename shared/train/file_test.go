package train_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/train"
)

var plain = train.Columns{User: "user", Item: "item"}
var full = train.Columns{User: "user", Item: "item", Weight: "weight", Time: "time"}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestTextFilesGiveTheirInteractions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		columns    train.Columns
		rows       int
	}{
		"CSV":                             {"x.csv", "user,item\n1,a\n2,b\n", plain, 2},
		"columns in any order, and more":  {"x.csv", "note,time,item,weight,user\nhi,2026-01-31,a,2.5,1\n", full, 1},
		"quoted field with comma and tab": {"x.csv", "user,item\n\"Smith, \"\"J\"\"\",\"a\tb\"\n", plain, 1},
		"byte order mark, CRLF":           {"x.CSV", "\ufeffuser,item\r\n1,a\r\n", plain, 1},
		"TSV does not quote":              {"x.tsv", "user\titem\n\"5\" disk\tä, ö\n\n2\tb", plain, 2},
		"weight zero or absent":           {"x.tsv", "user\titem\tweight\ttime\n1\ta\t0\t1\n1\tb\t\t2\n1\tc\t1\t3\n", full, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := train.ReadFile(write(t, c.file, c.text), c.columns)
			require.NoError(t, err)
			require.Equal(t, c.rows, x.Len())
		})
	}
}

func TestFileErrorsNameFileLineAndColumn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		columns    train.Columns
		want       string
	}{
		"no such column":       {"x.csv", "customer,item\n", plain, `x.csv:1: no column "user", there are customer, item: say which one holds the user (--user-column)`},
		"weight is a word":     {"x.csv", "user,item,weight,time\n1,a,1,1\n1,b,many,2\n", full, `x.csv:3: column weight: "many" is not a number`},
		"weight is negative":   {"x.tsv", "user\titem\tweight\ttime\n1\ta\t-2\t1\n", full, `x.tsv:2: column weight: weight -2: want a finite number`},
		"weight is NaN":        {"x.csv", "user,item,weight,time\n1,a,NaN,1\n", full, `x.csv:2: column weight: weight NaN`},
		"time is a word":       {"x.csv", "user,item,weight,time\n1,a,1,yesterday\n", full, `x.csv:2: column time: "yesterday" is neither a number nor a time`},
		"user is empty":        {"x.tsv", "user\titem\n\n\tb\n", plain, `x.tsv:3: column user: is empty`},
		"cut off":              {"x.csv", "user,item\n1,a\n2", plain, `x.csv:3: has 1 fields, the first line has 2: is the file cut off?`},
		"cut off within quote": {"x.csv", "user,item\n1,a\n2,\"b", plain, `x.csv:3: `},
		"empty":                {"x.csv", "", plain, `x.csv: is empty: the first line must name the columns`},
		"another format":       {"x.xlsx", "PK", plain, `x.xlsx: extension ".xlsx": want .csv, .tsv or .parquet`},
		"no Parquet":           {"x.parquet", "user,item\n1,a\n", plain, `x.parquet: `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, c.file, c.text)
			_, err := train.ReadFile(path, c.columns)
			var where *train.FileError
			require.ErrorAs(t, err, &where)
			require.Equal(t, path, where.File)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := train.ReadFile(filepath.Join(t.TempDir(), "none.csv"), plain)
	require.ErrorIs(t, err, os.ErrNotExist)
}
