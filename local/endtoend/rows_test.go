package endtoend_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/schema"
)

// rows reads a published file as text; the reader is independent of the writer and checks size, SHA-256, rows and checksum.
func (s *system) rows(t *testing.T, file lake.File, cols []schema.Column) (rows [][]sql.NullString) {
	t.Helper()
	for row, err := range laketable.Rows(t.Context(), s.lake, file, cols) {
		require.NoError(t, err)
		fields := make([]sql.NullString, len(row))
		for i, v := range row {
			fields[i] = sql.NullString{String: schema.Text(cols[i], v), Valid: !v.Null}
		}
		rows = append(rows, fields)
	}
	return rows
}
