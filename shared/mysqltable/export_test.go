package mysqltable

import "context"

// Handlers reads the session's count of rows looked at, which only the snapshot's own
// connection knows.
func Handlers(ctx context.Context, t *Table, reads *int64) error {
	return t.snapshot.conn.QueryRowContext(ctx, `SELECT SUM(variable_value) FROM information_schema.session_status
		WHERE variable_name IN ('HANDLER_READ_KEY', 'HANDLER_READ_NEXT', 'HANDLER_READ_RND_NEXT', 'HANDLER_READ_FIRST')`).Scan(reads)
}
