package vectorstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Activity is what one event says of a user.
type Activity struct {
	User       string
	EventID    string
	Session    string
	HappenedAt time.Time
	Items      []Seen // oldest first
}

// Seen is an item of an event.
type Seen struct {
	Item     string  `json:"item"`
	Quantity float64 `json:"quantity"`
	InCart   bool    `json:"in_cart"`
}

// keptEvents bounds a user's activity. The set that is kept, the latest by time and event id, does not depend on
// the order in which events come, nor on how often.
const keptEvents = 50

// RecordActivity stores events of users, each at most once, in one round trip.
func (s *Store) RecordActivity(ctx context.Context, list []Activity) error {
	if len(list) == 0 {
		return nil
	}
	// The same order everywhere: two batches with the same users cannot wait for each other in a circle.
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Activity) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.EventID, b.EventID))
	})
	var users []string
	batch := &pgx.Batch{}
	for _, a := range list {
		if a.Items == nil {
			a.Items = []Seen{}
		}
		batch.Queue(`insert into millrace.user_activity (user_id, event_id, session_id, happened_at, items) values ($1, $2, $3, $4, $5) on conflict do nothing`,
			a.User, a.EventID, a.Session, a.HappenedAt, a.Items)
		users = append(users, a.User)
	}
	batch.Queue(`delete from millrace.user_activity where (user_id, event_id) in (
			select user_id, event_id from (
				select user_id, event_id, row_number() over (partition by user_id order by happened_at desc, event_id desc) as place
				from millrace.user_activity where user_id = any($1)) ranked
			where place > $2)`, slices.Compact(users), keptEvents)
	// A batch outside a transaction is one implicit transaction: all of it, or nothing.
	return explain("record activity", s.pool.SendBatch(ctx, batch).Close())
}

// LatestSession returns what a user looked at in the latest session, by its latest event since the given time; none is no error.
func (s *Store) LatestSession(ctx context.Context, user string, since time.Time) ([]Seen, error) {
	rows, err := s.pool.Query(ctx, `select items from millrace.user_activity where user_id = $1 and happened_at >= $2
		order by happened_at desc, event_id desc limit 1`, user, since)
	if err != nil {
		return nil, explain("read activity", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[]Seen])
	if err != nil || len(list) == 0 {
		return nil, explain("read activity", err)
	}
	return list[0], nil
}
