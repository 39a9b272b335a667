package vectorstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
)

// Entity is an item or a user of a model.
type Entity struct {
	ID, Name  string
	Embedding []float32
	Bias      float32 // orders the fallback to popularity
	Cold      bool    // without interactions
	Features  map[string]string
	Bought    []int32 // of a user: positions among the items, ascending by id in byte order, of what training has seen
}

// Neighbours are the items that follow one in sessions, by position among the items ascending by id, strongest first.
type Neighbours struct {
	Item      int32
	Others    []int32
	Strengths []float32
}

// Model is a version to load. Its sequences verify what they read: a pair with an error ends them, and the load with
// that error, which is a *Defect if reading again would fail again.
type Model struct {
	Version, Dataset, Run       string
	ManifestKey, ManifestSHA256 string
	Dimension                   int
	Distance                    string
	Metrics, Encoder            json.RawMessage
	Items, Users                iter.Seq2[Entity, error]     // Items is read first, ascending by id in byte order
	Cooccurrences               iter.Seq2[Neighbours, error] // nil if the model has none
	ItemCount, UserCount        int64
}

// MaxDimension is pgvector's for the type vector.
const MaxDimension = 16000

// Defect is an error of the artifact, not of the database: loading it again would fail again.
type Defect struct{ Err error }

func (d *Defect) Error() string {
	return "the artifact is not what its manifest says: " + d.Err.Error()
}
func (d *Defect) Unwrap() error { return d.Err }

// Outcome says what Load did.
type Outcome struct {
	Version   string
	Activated bool
	Reason    string   // why, or why not
	Replaced  string   // the version that was active before
	Dropped   []string // tables of older versions
	Index     string   // how items are searched in SQL: exact or hnsw, with its recall
	Prewarmed string   // how much was read into memory, and how
	Took      Took
}

// Took says what the time of a load went into.
type Took struct {
	Copy    time.Duration // reading and verifying the artifact, COPY, keys
	Index   time.Duration // building indexes
	Recall  time.Duration // measuring them
	Prewarm time.Duration
}

// Load copies a model into fresh tables, checks them and moves the pointer, all in one transaction: readers see the
// old version until the new one is whole, and whatever goes wrong, a killed process included, leaves nothing behind.
// A version that is already there is left as it is. A run older than the active one's is recorded and does not replace it.
func (s *Store) Load(ctx context.Context, m Model) (Outcome, error) {
	return s.load(ctx, m, purpose{}, indexing{hnswThreshold, leastRecall})
}

// Promotion is an operator's decision that a version is to be served, whatever its run.
type Promotion struct {
	By     string // who decided
	Reason string // why
}

func (p Promotion) reason() string { return fmt.Sprintf("promoted by %s: %s", p.By, p.Reason) }

// Promote is Load by somebody's decision: an older run replaces a newer one too, and a version that was served before is served again.
func (s *Store) Promote(ctx context.Context, m Model, p Promotion) (Outcome, error) {
	return s.load(ctx, m, purpose{promotion: &p}, indexing{hnswThreshold, leastRecall})
}

// LoadAside is Load without moving the pointer: the version is there for an experiment to be started with. It keeps its tables until the
// next load, unless one is.
func (s *Store) LoadAside(ctx context.Context, m Model, reason string) (Outcome, error) {
	return s.load(ctx, m, purpose{aside: reason}, indexing{hnswThreshold, leastRecall})
}

// purpose is why a version is loaded: to be active if its run is the newest, or as an operator wants it.
type purpose struct {
	promotion *Promotion
	aside     string // why it is loaded without becoming active
}

func (p purpose) byNight() bool { return p.promotion == nil && p.aside == "" }

func (s *Store) load(ctx context.Context, m Model, why purpose, wanted indexing) (Outcome, error) {
	out := Outcome{Version: m.Version}
	if m.Dimension < 1 || m.Dimension > MaxDimension {
		return out, &Defect{fmt.Errorf("model %s: dimension %d: pgvector holds 1 to %d", m.Version, m.Dimension, MaxDimension)}
	}
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		// Two loaders at once would both be right, and one would have worked for nothing.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(loadLock)); err != nil {
			return err
		}
		known, err := settled(ctx, tx, m, why, &out)
		if err == nil && known && why.promotion != nil { // of what is active already: the decision is that everybody gets it
			var stopped bool
			if stopped, err = stopExperiment(ctx, tx, why.promotion.reason()); stopped {
				out.Reason += "; the experiment has ended"
			}
		}
		if err != nil || known {
			return err
		}
		active, older, err := compareWithActive(ctx, tx, m.Run, &out)
		if err != nil {
			return err
		}
		if older && why.byNight() {
			out.Replaced = ""
			_, err := record(ctx, tx, m, Retired, out.Reason)
			return err
		}
		n, err := record(ctx, tx, m, loading, "")
		if err != nil {
			return err
		}
		started := time.Now()
		if err := fill(ctx, tx, items(n), fmt.Sprintf(itemDefinition, m.Dimension), checked(m.Items, m.Dimension), itemValues(), m.ItemCount, "ordinal"); err != nil {
			return fmt.Errorf("items: %w", err)
		}
		if err := fill(ctx, tx, users(n), fmt.Sprintf(userDefinition, m.Dimension), checked(m.Users, m.Dimension), userValues, m.UserCount, "bought"); err != nil {
			return fmt.Errorf("users: %w", err)
		}
		if m.Cooccurrences != nil {
			_, err := create(ctx, tx, cooccurrences(n), `item int primary key, others int[] not null, strengths real[] not null`, m.Cooccurrences,
				func(n Neighbours) []any { return []any{n.Item, n.Others, n.Strengths} }, "item", "others", "strengths")
			if err != nil {
				return fmt.Errorf("co-occurrences: %w", err)
			}
		}
		out.Took.Copy = time.Since(started)
		if out.Index, err = index(ctx, tx, items(n), m, wanted, &out.Took); err != nil {
			return fmt.Errorf("index: %w", err)
		}
		started = time.Now()
		if out.Prewarmed, err = prewarm(ctx, tx, items(n), users(n)); err != nil {
			return fmt.Errorf("prewarm: %w", err)
		}
		out.Took.Prewarm = time.Since(started)
		if why.aside != "" {
			out.Replaced, out.Reason = "", why.aside
			_, err := tx.Exec(ctx, `update millrace.model_version set state = $2, reason = $3 where n = $1`, n, Ready, out.Reason)
			return err
		}
		by := ""
		out.Activated, out.Reason = true, "newest run"
		if p := why.promotion; p != nil {
			by, out.Reason = p.By, p.reason()
		}
		return activate(ctx, tx, active, n, by, out.Reason)
	})
	if err != nil {
		return Outcome{Version: m.Version}, explain("load model "+m.Version, err)
	}
	if why.aside != "" {
		return out, nil // before the experiment has begun nobody seems to need it
	}
	// Afterwards, and not needed for correctness: a reader still in an old table would make it wait. Always, for a loader that was killed before.
	out.Dropped, err = s.dropOlder(ctx)
	if err != nil {
		out.Reason += "; tables of older versions stay until the next load: " + err.Error()
	}
	if err := s.forgetActivity(ctx); err != nil {
		out.Reason += "; what users did long ago stays until the next load: " + err.Error()
	}
	return out, nil
}

// settled looks whether the version has already been dealt with. What an operator wants is filled anew where its tables may be gone.
func settled(ctx context.Context, tx pgx.Tx, m Model, why purpose, out *Outcome) (bool, error) {
	var n int64
	var state, sha256 string
	err := tx.QueryRow(ctx, `select n, state, artifact_sha256 from millrace.model_version where version = $1`, m.Version).Scan(&n, &state, &sha256)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if state != Rejected && sha256 != m.ManifestSHA256 {
		return false, &Defect{fmt.Errorf("version %s was loaded before from a manifest with SHA-256 %s, this one has %s: a version never changes", m.Version, sha256, m.ManifestSHA256)}
	}
	there := false
	if why.aside != "" {
		if there, err = complete(ctx, tx, n); err != nil {
			return false, err
		}
	}
	if state == Rejected || !why.byNight() && state != Active && !there { // repaired or replaced since, or wanted nevertheless
		if _, err := tx.Exec(ctx, `update millrace.active_model set previous = null where previous = $1`, n); err != nil {
			return false, err
		}
		_, err := tx.Exec(ctx, `delete from millrace.model_version where n = $1`, n)
		return false, err
	}
	out.Reason = "already loaded, and " + state
	return true, nil
}

// complete says whether a version has its tables.
func complete(ctx context.Context, tx pgx.Tx, n int64) (there bool, err error) {
	err = tx.QueryRow(ctx, `select to_regclass($1) is not null and to_regclass($2) is not null`, items(n).Sanitize(), users(n).Sanitize()).Scan(&there)
	return there, err
}

// compareWithActive finds what is to be replaced, and whether it comes from a later run.
func compareWithActive(ctx context.Context, tx pgx.Tx, run string, out *Outcome) (active *int64, older bool, err error) {
	var n int64
	var version, activeRun string
	err = tx.QueryRow(ctx, `select v.n, v.version, v.run from millrace.active_model a join millrace.model_version v on v.n = a.n`).Scan(&n, &version, &activeRun)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	out.Replaced = version
	if run < activeRun {
		out.Reason = fmt.Sprintf("run %s is older than %s of the active version %s: not loaded", run, activeRun, version)
		return &n, true, nil
	}
	return &n, false, nil
}

func record(ctx context.Context, tx pgx.Tx, m Model, state, reason string) (n int64, err error) {
	err = tx.QueryRow(ctx, `insert into millrace.model_version
			(version, dataset, run, manifest_key, artifact_sha256, dimension, distance, items, users, metrics, encoder, state, reason)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning n`,
		m.Version, m.Dataset, m.Run, m.ManifestKey, m.ManifestSHA256, m.Dimension, m.Distance, m.ItemCount, m.UserCount,
		m.Metrics, m.Encoder, state, reason).Scan(&n)
	return n, err
}

// Reject records that a version is not to be served, and why. A version that has been served stays what it is.
func (s *Store) Reject(ctx context.Context, m Model, reason string) error {
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `delete from millrace.model_version where version = $1 and state = $2`, m.Version, Rejected); err != nil {
			return err
		}
		var served bool
		if err := tx.QueryRow(ctx, `select exists (select from millrace.model_version where version = $1)`, m.Version).Scan(&served); err != nil || served {
			return err
		}
		_, err := record(ctx, tx, m, Rejected, reason)
		return err
	})
	return explain("record rejected model "+m.Version, err)
}

// dropOlder drops the tables of all versions but the active one, the previous one and those of a running experiment.
func (s *Store) dropOlder(ctx context.Context) (dropped []string, err error) {
	rows, err := s.pool.Query(ctx, unneeded)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		gone, err := s.dropUnneeded(ctx, table)
		if err != nil {
			return dropped, err
		}
		if gone {
			dropped = append(dropped, table)
		}
	}
	return dropped, nil
}

const unneeded = `select c.relname::text from pg_class c
	where c.relnamespace = 'millrace'::regnamespace and c.relkind = 'r' and c.relname ~ '^(item|user|cooccurrence)_v[0-9]+$'
	  and not exists (select from millrace.active_model a where substring(c.relname from '[0-9]+$')::bigint in (a.n, a.previous))
	  and not exists (select from millrace.experiment e join millrace.model_version v on v.version in (e.control, e.treatment)
		where e.stopped_at is null and v.n = substring(c.relname from '[0-9]+$')::bigint)
	order by c.oid`

// dropUnneeded drops a table unless an experiment or an operator has come to need it since it was listed.
func (s *Store) dropUnneeded(ctx context.Context, table string) (gone bool, err error) {
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		// A reader that takes longer is left alone until the next load; another load drops it itself.
		if _, err := tx.Exec(ctx, `set local lock_timeout = '5s'`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(loadLock)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `select $1 in (`+unneeded+`)`, table).Scan(&gone); err != nil || !gone {
			return err
		}
		if _, err := tx.Exec(ctx, `drop table `+pgx.Identifier{"millrace", table}.Sanitize()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update millrace.model_version set state = $1, reason = 'no experiment needs it any more'
			where state = $2 and n = substring($3 from '[0-9]+$')::bigint`, Retired, Ready, table)
		return err
	})
	return gone && err == nil, err
}
