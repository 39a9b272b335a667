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

// keptEvents bounds a user's activity. The set that is kept, the latest, does not depend on the order in which events come, nor on how often.
const keptEvents = 50

// latestFirst orders a user's events by when they happened. Of one moment the later in the stream is later: numbers that are longer are
// greater, which as text they are not (":10" of an aggregated record comes after ":9").
const latestFirst = `happened_at desc, length(event_id) desc, event_id desc`

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
				select user_id, event_id, row_number() over (partition by user_id order by `+latestFirst+`) as place
				from millrace.user_activity where user_id = any($1)) ranked
			where place > $2)`, slices.Compact(users), keptEvents)
	// A batch outside a transaction is one implicit transaction: all of it, or nothing. Of one that broke nobody knows which: done twice it is done once.
	return explain("record activity", s.try(ctx, func() error { return s.pool.SendBatch(ctx, batch).Close() }))
}

// Past is an item that a user looked at.
type Past struct {
	Seen
	At time.Time // of the session's latest event
}

// Recent returns what a user looked at in the latest sessions since the given time, at most so many items, the latest last; none is no error.
// Each event of a session brings the whole of it, so its latest event is the session; an event without session is one of its own.
func (s *Store) Recent(ctx context.Context, user string, since time.Time, atMost int) ([]Past, error) {
	type session struct {
		At    time.Time
		Items []Seen
	}
	latest, err := tried(ctx, s, func() ([]session, error) {
		rows, err := s.pool.Query(ctx, `select happened_at, items from (
				select *, row_number() over (partition by session_id, case when session_id = '' then event_id end order by `+latestFirst+`) as place
				from millrace.user_activity where user_id = $1 and happened_at >= $2) events
			where place = 1 order by `+latestFirst, user, since)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[session])
	})
	if err != nil {
		return nil, explain("read activity", err)
	}
	var past []Past
	for _, one := range latest {
		for _, seen := range slices.Backward(one.Items) {
			if len(past) < atMost {
				past = append(past, Past{seen, one.At.UTC()})
			}
		}
	}
	slices.Reverse(past)
	return past, nil
}

// forgetActivity deletes what happened 30 days before the latest event: of a user who does not come back nothing is kept. Recommendations look
// back a week.
func (s *Store) forgetActivity(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `delete from millrace.user_activity where happened_at < (select max(happened_at) from millrace.user_activity) - interval '30 days'`)
	return err
}
