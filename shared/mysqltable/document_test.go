package mysqltable_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/mysqltable"
	"github.com/millrace/millrace/shared/parquetwriter"
	"github.com/millrace/millrace/shared/schema"
)

var update = flag.Bool("update", false, "rewrite the table of docs/types.md from the code")

const document = "../../docs/types.md"

// documented is a line of the table: the MySQL types are people's, the rest is what the code does with them.
var documented = regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|.*\\|$")

func TestTypesDocumentSaysWhatTheCodeDoes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	var bases []string
	computed := documented.ReplaceAllStringFunc(string(text), func(line string) string {
		types := documented.FindStringSubmatch(line)[1]
		var out string
		for columnType := range strings.SplitSeq(types, "`, `") {
			columnType = strings.ReplaceAll(strings.Trim(columnType, "`"), "boolean", "tinyint(1)")
			bases = append(bases, regexp.MustCompile(`^\w+`).FindString(columnType))
			c, err := mysqltable.Column("c", columnType, false)
			require.NoError(t, err)
			this := fmt.Sprintf("| %s | %s | %s | %s | %s |", types, kindText(c), avroText(t, c), parquetText(t, c), catalog.Type(c))
			if out != "" {
				require.Equal(t, out, this, "types of one line travel alike: %s", columnType)
			}
			out = this
		}
		return out
	})
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(computed), 0o644))
	} else {
		require.Equal(t, computed, string(text), "run: go test ./mysqltable -run Document -update")
	}
	for _, c := range matrix {
		base := regexp.MustCompile(`^\w+`).FindString(strings.ToLower(c.columnType))
		require.Contains(t, append(bases, "boolean"), base, "a type that is read but not documented")
	}
}

// kindText is a column's kind with its parameters, as the document writes it.
func kindText(c schema.Column) string {
	switch c.Kind {
	case schema.Int, schema.Uint:
		return fmt.Sprintf("%s(%d)", c.Kind, c.Bits)
	case schema.Decimal:
		return fmt.Sprintf("%s(%d,%d)", c.Kind, c.Precision, c.Scale)
	case schema.Datetime, schema.Timestamp, schema.Time:
		return fmt.Sprintf("%s(%d)", c.Kind, c.Fraction)
	}
	return string(c.Kind)
}

func avroText(t *testing.T, c schema.Column) string {
	t.Helper()
	record, err := avrofile.Schema([]schema.Column{c})
	require.NoError(t, err)
	field := record.(*avro.RecordSchema).Fields()[0].Type().(*avro.PrimitiveSchema)
	text := string(field.Type())
	switch logical := field.Logical().(type) {
	case nil:
	case *avro.DecimalLogicalSchema:
		text += fmt.Sprintf(" decimal(%d,%d)", logical.Precision(), logical.Scale())
	default:
		text += " " + string(logical.Type())
	}
	return text
}

// parquetText is the type that an independent reader sees in a file.
func parquetText(t *testing.T, c schema.Column) string {
	t.Helper()
	var file bytes.Buffer
	w, err := parquetwriter.New(&file, []schema.Column{c})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	field := f.Schema().Fields()[0]
	text := field.Type().Kind().String()
	if logical := field.Type().String(); logical != text {
		text += " " + logical
	}
	return text
}
