package asof

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"strings"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/schema"
)

// ErrMemory says that the keys of the changed rows do not fit.
var ErrMemory = errors.New("not enough memory for the keys of changed rows")

// keyBytes is what a remembered key takes beside its bytes: a Go map's slot and the allocation.
const keyBytes = 64

// Each gives the rows, each file verified against its marker (see package laketable). Newer days come first, and a key
// that was there is not given again; twice on one day, it does not tell rows apart, and that is an error. The keys of all days but the oldest are remembered, in at most keys bytes. A row is
// valid until the next; a pair with an error is the last.
func (t *Table) Each(ctx context.Context, s lake.Store, keys int) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		seen, left := map[string]int{}, keys // the day of a key
		var key []byte
		row := make(schema.Row, len(t.Columns))
		for i, day := range t.Days {
			oldest := i == len(t.Days)-1
			for _, f := range day.Files {
				for stored, err := range laketable.Rows(ctx, s, f, day.Columns) {
					if err != nil {
						yield(nil, fmt.Errorf("table %s: %w", t.Name, err))
						return
					}
					t.arrange(row, stored, i)
					if len(t.Days) > 1 {
						key = t.appendKey(key[:0], row)
						if newer, is := seen[string(key)]; is && newer == i {
							yield(nil, fmt.Errorf("table %s: two rows of %s have the same key (%s), so the newest of them cannot be told: name a key in the dataset file that tells rows apart, then %w",
								t.Name, day.Run, strings.Join(t.Key, ", "), ErrRefresh))
							return
						} else if is {
							continue
						}
						if !oldest {
							if left -= keyBytes + len(key); left < 0 {
								yield(nil, t.tooManyChanges(keys, keyBytes+len(key)))
								return
							}
							seen[string(key)] = i
						}
					}
					if !yield(row, nil) {
						return
					}
				}
			}
		}
	}
}

// arrange puts a day's row into the order and form of the table's columns.
func (t *Table) arrange(row, stored schema.Row, day int) {
	for i, c := range t.Columns {
		at := t.from[day][i]
		if at < 0 {
			row[i] = schema.Value{Null: true}
			continue
		}
		row[i] = stored[at]
		if older := t.Days[day].Columns[at]; c.Kind == schema.Decimal && c.Precision > schema.MaxInt64Digits && older.Precision <= schema.MaxInt64Digits {
			row[i].Bytes = schema.AppendUnscaled(nil, big.NewInt(stored[at].Int))
		}
	}
}

func (t *Table) appendKey(dst []byte, row schema.Row) []byte {
	for _, at := range t.keyAt {
		dst = schema.AppendOrdered(dst, t.Columns[at], row[at])
	}
	return dst
}

func (t *Table) tooManyChanges(keys, perKey int) error {
	changed := t.Rows() - t.Days[len(t.Days)-1].Rows
	return fmt.Errorf("table %s: %w: %d on %d days need about %d MiB, %d MiB are free for them. Give the function that much more, or %w",
		t.Name, ErrMemory, changed, len(t.Days)-1, changed*int64(perKey)>>20+1, keys>>20, ErrRefresh)
}

// ChangedBytes is about what Each holds of the keys at the end.
func (t *Table) ChangedBytes() int64 {
	const key = 24 // two integers, or a short text
	return (t.Rows() - t.Days[len(t.Days)-1].Rows) * (keyBytes + key)
}
