package vectorstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/shared/experiment"
)

// Experiment is two versions that serve at the same time, each its share of the users.
type Experiment struct {
	N         int64      `json:"experiment"`
	Control   string     `json:"control"`
	Treatment string     `json:"treatment"`
	Weight    float64    `json:"weight"` // the share of users that get the treatment
	StartedAt time.Time  `json:"started_at"`
	StoppedAt *time.Time `json:"stopped_at,omitempty"`
	Ended     string     `json:"ended,omitempty"` // why
	By        string     `json:"by"`              // who chose the weight
}

// Serving is what readers follow: the active version, or, while an experiment runs, the two of it.
type Serving struct {
	Active             Reference // without an experiment
	Control, Treatment Reference // in one
	Experiment         int64     // 0: none runs
	Weight             float64
}

// Versions are those that answer; the first answers what is about no user.
func (s Serving) Versions() []Reference {
	if s.Experiment == 0 {
		return []Reference{s.Active}
	}
	return []Reference{s.Control, s.Treatment}
}

// Variant is which version a user gets, and what it is to the experiment.
func (s Serving) Variant(user string) (Reference, string) {
	switch {
	case s.Experiment == 0:
		return s.Active, experiment.Active
	case experiment.Assign(s.Experiment, user, s.Weight) == experiment.Treatment:
		return s.Treatment, experiment.Treatment
	}
	return s.Control, experiment.Control
}

// Serving resolves what serves, in one query: ErrNoModel if nothing does.
func (s *Store) Serving(ctx context.Context) (Serving, error) {
	var now Serving
	var n pgtype.Int8
	var weight pgtype.Float8
	var control, treatment struct {
		n         pgtype.Int8
		version   pgtype.Text
		dimension pgtype.Int4
	}
	err := s.try(ctx, func() error {
		return s.pool.QueryRow(ctx, `select v.n, v.version, v.dimension, e.n, e.weight, c.n, c.version, c.dimension, t.n, t.version, t.dimension
		from millrace.active_model a join millrace.model_version v on v.n = a.n
		left join (millrace.experiment e join millrace.model_version c on c.version = e.control join millrace.model_version t on t.version = e.treatment)
			on e.stopped_at is null`).
			Scan(&now.Active.N, &now.Active.Version, &now.Active.Dimension, &n, &weight,
				&control.n, &control.version, &control.dimension, &treatment.n, &treatment.version, &treatment.dimension)
	})
	switch {
	case tableMissing(err): // a database that no loader of this build has seen: it knows no experiments
		now.Active, err = s.Active(ctx)
		return now, err
	case errors.Is(err, pgx.ErrNoRows):
		return Serving{}, ErrNoModel
	case err != nil:
		return Serving{}, explain("read what serves", err)
	case n.Valid:
		now = Serving{
			Control:    Reference{control.n.Int64, control.version.String, int(control.dimension.Int32)},
			Treatment:  Reference{treatment.n.Int64, treatment.version.String, int(treatment.dimension.Int32)},
			Experiment: n.Int64, Weight: weight.Float64,
		}
	}
	return now, nil
}

var (
	// ErrExperimentRuns says that there is one experiment at a time.
	ErrExperimentRuns = errors.New("an experiment is running: stop it first (millrace experiment stop)")
	// ErrNoExperiment says that none is running.
	ErrNoExperiment = errors.New("no experiment is running")
)

// NotLoadedError names versions that have no tables in the database.
type NotLoadedError struct{ Versions []string }

func (e *NotLoadedError) Error() string {
	return strings.Join(e.Versions, " and ") + ": no tables in the database, where the active version, the previous one and those of the experiment are"
}

// StartExperiment makes two loaded versions serve at once. The pointer goes on moving beneath, and decides again when the experiment ends.
func (s *Store) StartExperiment(ctx context.Context, control, treatment string, weight float64, by string) (Experiment, error) {
	if control == treatment {
		return Experiment{}, fmt.Errorf("start experiment: %s is both control and treatment: want two versions", control)
	}
	if err := checkWeight(weight); err != nil {
		return Experiment{}, err
	}
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		// No load meanwhile, which drops the tables of versions that nobody needs, and no other start.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(loadLock)); err != nil {
			return err
		}
		var runs bool
		if err := tx.QueryRow(ctx, `select exists (select from millrace.experiment where stopped_at is null)`).Scan(&runs); err != nil {
			return err
		}
		if runs {
			return ErrExperimentRuns
		}
		gone, err := missing(ctx, tx, control, treatment)
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			return &NotLoadedError{Versions: gone}
		}
		var n int64
		err = tx.QueryRow(ctx, `insert into millrace.experiment (control, treatment, weight) values ($1, $2, $3) returning n`, control, treatment, weight).Scan(&n)
		if err != nil {
			return err
		}
		return recordWeight(ctx, tx, n, weight, by)
	})
	if err != nil {
		return Experiment{}, explain("start experiment", err)
	}
	return s.LatestExperiment(ctx)
}

// missing are those of the versions that have no tables.
func missing(ctx context.Context, tx pgx.Tx, versions ...string) ([]string, error) {
	rows, err := tx.Query(ctx, `select asked from unnest($1::text[]) with ordinality list (asked, place)
		where not exists (select from millrace.model_version v where v.version = asked
			and to_regclass('millrace.item_v' || v.n) is not null and to_regclass('millrace.user_v' || v.n) is not null)
		order by place`, versions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func recordWeight(ctx context.Context, tx pgx.Tx, n int64, weight float64, by string) error {
	_, err := tx.Exec(ctx, `insert into millrace.experiment_weight (experiment, weight, by) values ($1, $2, $3)`, n, weight, by)
	return err
}

func checkWeight(weight float64) error {
	if math.IsNaN(weight) || weight < 0 || weight > 1 {
		return fmt.Errorf("weight %v: want the share of users that get the treatment, from 0 to 1", weight)
	}
	return nil
}

// WeighExperiment gives the running experiment's treatment another share of the users: the next batch of events follows.
func (s *Store) WeighExperiment(ctx context.Context, weight float64, by string) (Experiment, error) {
	if err := checkWeight(weight); err != nil {
		return Experiment{}, err
	}
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `update millrace.experiment set weight = $1 where stopped_at is null returning n`, weight).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoExperiment
		} else if err != nil {
			return err
		}
		return recordWeight(ctx, tx, n, weight, by)
	})
	if err != nil {
		return Experiment{}, explain("weigh experiment", err)
	}
	return s.LatestExperiment(ctx)
}

// StopExperiment ends the running experiment: the active version serves everybody from the next batch on.
func (s *Store) StopExperiment(ctx context.Context, why string) (Experiment, error) {
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		stopped, err := stopExperiment(ctx, tx, why)
		if err == nil && !stopped {
			err = ErrNoExperiment
		}
		return err
	})
	if err != nil {
		return Experiment{}, explain("stop experiment", err)
	}
	return s.LatestExperiment(ctx)
}

func stopExperiment(ctx context.Context, tx pgx.Tx, why string) (bool, error) {
	tag, err := tx.Exec(ctx, `update millrace.experiment set stopped_at = clock_timestamp(), ended = $1 where stopped_at is null`, why)
	return tag.RowsAffected() > 0, err
}

// LatestExperiment is the running one, or the one that ran last: ErrNoExperiment if there never was one.
func (s *Store) LatestExperiment(ctx context.Context) (Experiment, error) {
	e, err := tried(ctx, s, func() (Experiment, error) {
		rows, err := s.pool.Query(ctx, `select e.n, e.control, e.treatment, e.weight, e.started_at, e.stopped_at, e.ended,
				(select w.by from millrace.experiment_weight w where w.experiment = e.n order by w.at desc limit 1)
			from millrace.experiment e order by e.n desc limit 1`)
		if err != nil {
			return Experiment{}, err
		}
		return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Experiment])
	})
	if errors.Is(err, pgx.ErrNoRows) || tableMissing(err) {
		return Experiment{}, ErrNoExperiment
	}
	return e, explain("read the experiment", err)
}
