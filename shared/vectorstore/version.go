package vectorstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a version.
const (
	Active   = "active"
	Ready    = "ready"    // loaded for an experiment, and never active
	Retired  = "retired"  // was active or ready, or came too late
	Rejected = "rejected" // by the trainer's gate or by the loader's checks
	loading  = "loading"  // never seen from outside: a load is one transaction
)

// Version is what is known of a model version.
type Version struct {
	N              int64           `json:"n"`
	Version        string          `json:"version"`
	Dataset        string          `json:"dataset"`
	Run            string          `json:"run"`
	ManifestKey    string          `json:"manifest_key"`
	ManifestSHA256 string          `json:"artifact_sha256"`
	Dimension      int             `json:"dimension"`
	Distance       string          `json:"distance"`
	Items          int64           `json:"items"`
	Users          int64           `json:"users"`
	Metrics        json.RawMessage `json:"metrics,omitempty"`
	State          string          `json:"state"`
	Reason         string          `json:"reason,omitempty"`
	Previous       bool            `json:"previous"` // rollback would return to it
	CreatedAt      time.Time       `json:"created_at"`
	ActivatedAt    *time.Time      `json:"activated_at,omitempty"`
}

// Reference names a version and its tables.
type Reference struct {
	N         int64
	Version   string
	Dimension int
}

// Active resolves the pointer: ErrNoModel if there is none.
func (s *Store) Active(ctx context.Context) (Reference, error) {
	var r Reference
	err := s.try(ctx, func() error {
		return s.pool.QueryRow(ctx, `select v.n, v.version, v.dimension from millrace.active_model a join millrace.model_version v on v.n = a.n`).
			Scan(&r.N, &r.Version, &r.Dimension)
	})
	if errors.Is(err, pgx.ErrNoRows) || tableMissing(err) {
		return Reference{}, ErrNoModel
	}
	return r, explain("read the active version", err)
}

// Versions lists all versions, the latest first.
func (s *Store) Versions(ctx context.Context) ([]Version, error) {
	versions, err := tried(ctx, s, func() ([]Version, error) {
		rows, err := s.pool.Query(ctx, `select v.n, v.version, v.dataset, v.run, v.manifest_key, v.artifact_sha256, v.dimension, v.distance, v.items, v.users,
				v.metrics, v.state, v.reason, exists (select from millrace.active_model a where a.previous = v.n), v.created_at, v.activated_at
			from millrace.model_version v order by v.n desc`)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[Version])
	})
	if tableMissing(err) {
		return nil, nil
	}
	return versions, explain("list versions", err)
}

// Activation is one move of the pointer.
type Activation struct {
	Version        string
	At             time.Time
	By, Reason     string // By is "" if nobody decided it
	ManifestKey    string
	ManifestSHA256 string
}

// LastActivation says which version is active since when and why: ErrNoModel if there is none.
func (s *Store) LastActivation(ctx context.Context) (Activation, error) {
	var a Activation
	err := s.try(ctx, func() error {
		return s.pool.QueryRow(ctx, `select v.version, coalesce(l.at, v.activated_at, v.created_at), coalesce(l.by, ''), coalesce(l.reason, v.reason), v.manifest_key, v.artifact_sha256
			from millrace.active_model a join millrace.model_version v on v.n = a.n
			left join lateral (select at, by, reason from millrace.activation where version = v.version order by n desc limit 1) l on true`).
			Scan(&a.Version, &a.At, &a.By, &a.Reason, &a.ManifestKey, &a.ManifestSHA256)
	})
	if errors.Is(err, pgx.ErrNoRows) || tableMissing(err) {
		return Activation{}, ErrNoModel
	}
	return a, explain("read the active version", err)
}

// ErrNoPrevious says that there is nothing to roll back to.
var ErrNoPrevious = errors.New("there is no previous version to return to")

// ErrPointerMoved says that another process activated a version at the same moment. Trying again is safe.
var ErrPointerMoved = errors.New("another process changed the active version meanwhile")

// Rollback makes the previous version active again, and the active one previous: doing it twice changes nothing. It ends an experiment: a
// rollback that most users do not see would be none. Who decided it, and why, is recorded.
func (s *Store) Rollback(ctx context.Context, by, reason string) (from, to Reference, err error) {
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		var previous *int64
		err := tx.QueryRow(ctx, `select a.n, v.version, v.dimension, a.previous from millrace.active_model a join millrace.model_version v on v.n = a.n`).
			Scan(&from.N, &from.Version, &from.Dimension, &previous)
		switch {
		case errors.Is(err, pgx.ErrNoRows) || tableMissing(err):
			return ErrNoModel
		case err != nil:
			return err
		case previous == nil:
			return fmt.Errorf("%w: %s is the first", ErrNoPrevious, from.Version)
		}
		to.N = *previous
		if err := tx.QueryRow(ctx, `select version, dimension from millrace.model_version where n = $1`, to.N).Scan(&to.Version, &to.Dimension); err != nil {
			return err
		}
		there, err := complete(ctx, tx, to.N)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("%w: the tables of %s are gone", ErrNoPrevious, to.Version)
		}
		if _, err := stopExperiment(ctx, tx, "rolled back to "+to.Version); err != nil {
			return err
		}
		return activate(ctx, tx, &from.N, to.N, by, fmt.Sprintf("rolled back from %s by %s: %s", from.Version, by, reason))
	})
	return from, to, explain("roll back", err)
}

// activate moves the pointer from expected (nil: there is none) to n, if it is still there, and records by whom ("" is nobody) and why.
// Somebody's decision ends an experiment, a night does not.
func activate(ctx context.Context, tx pgx.Tx, expected *int64, n int64, by, reason string) error {
	var moved int64
	if expected == nil {
		tag, err := tx.Exec(ctx, `insert into millrace.active_model (n) values ($1) on conflict do nothing`, n)
		if err != nil {
			return err
		}
		moved = tag.RowsAffected()
	} else {
		tag, err := tx.Exec(ctx, `update millrace.active_model set previous = n, n = $2, changed_at = now() where n = $1`, *expected, n)
		if err != nil {
			return err
		}
		moved = tag.RowsAffected()
	}
	if moved != 1 {
		return ErrPointerMoved
	}
	if by != "" {
		if _, err := stopExperiment(ctx, tx, reason); err != nil {
			return err
		}
	}
	if expected != nil {
		if _, err := tx.Exec(ctx, `update millrace.model_version set state = $2, reason = 'replaced by ' || (select version from millrace.model_version where n = $3) where n = $1`, *expected, Retired, n); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `update millrace.model_version set state = $2, reason = $3, activated_at = now() where n = $1`, n, Active, reason); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `insert into millrace.activation (version, replaced, by, reason)
		select v.version, (select o.version from millrace.model_version o where o.n = $2), $3, $4 from millrace.model_version v where v.n = $1`, n, expected, by, reason); err != nil {
		return err
	}
	// For people. The cast drops the dimension from the view's type, so that a model of another dimension can replace it.
	for view, table := range map[string]pgx.Identifier{"item_emb": items(n), "user_emb": users(n)} {
		_, err := tx.Exec(ctx, fmt.Sprintf(`create or replace view millrace.%s as
			select id, name, embedding::vector as embedding, bias, cold, features, %d::bigint as n from %s`, view, n, table.Sanitize()))
		if err != nil {
			return err
		}
	}
	return nil
}
