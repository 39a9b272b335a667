// Package replay runs stored activity through a model version, into a folder of its own: what it would have recommended, to be compared
// with what another version did. No user's state is read or written: an answer depends on the event and the model alone.
package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/recommend"
)

// Model answers events and knows its users.
type Model interface {
	Records(itemField string, events []recommend.Event, now time.Time) ([]recommend.Record, error)
	User(id string) *recommend.User
}

// Period is what is replayed: the objects of activity/ whose first event arrived in [From, To).
type Period struct{ From, To time.Time }

// Result counts what a replay has done.
type Result struct {
	Name         string `json:"name"`
	ModelVersion string `json:"model_version"`
	Objects      int64  `json:"objects"`
	Before       int64  `json:"objects_before"` // replayed by an earlier run of the same name
	Records      int64  `json:"records"`
	Rejected     int64  `json:"rejected"` // events that the recommender puts into quarantine
}

const (
	markerFile = "_REPLAY.json" // queries pass over it, because of the underscore
	// Answered in one pass over the items, as the recommender does.
	together = 32
	// Objects at once: reading and writing wait for S3 more than they compute.
	atOnce = 8
)

// marker pins the version that a name stands for.
type marker struct {
	Name         string `json:"name"`
	ModelVersion string `json:"model_version"`
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckName refuses names that are not the same in a key and in SQL.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("replay %q: want a name of letters, digits, dot, hyphen and underscore, at most 100", name)
	}
	return nil
}

// Run replays a period. Each object of activity/ becomes one object with the same name below replay/<name>/recommendations/, the same
// bytes whenever it is made; those that are there already are left. A record's generated_at is the time at which its event's object began,
// and its event_id is the object's key and the line.
func Run(ctx context.Context, store lake.Store, model Model, version, name string, names dataset.Event, p Period) (Result, error) {
	r := Result{Name: name, ModelVersion: version}
	if err := CheckName(name); err != nil {
		return r, err
	}
	if err := pin(ctx, store, marker{name, version}); err != nil {
		return r, err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for hour := p.From.UTC().Truncate(time.Hour); hour.Before(p.To) && ctx.Err() == nil; hour = hour.Add(time.Hour) {
		folder := hour.Format(lake.HourLayout) + "/"
		keys, err := store.List(ctx, lake.ActivityRoot+folder)
		if err != nil {
			return r, errors.Join(err, work.Wait())
		}
		if len(keys) == 0 {
			continue
		}
		there, err := store.List(ctx, target(name, lake.ActivityRoot+folder))
		if err != nil {
			return r, errors.Join(err, work.Wait())
		}
		for _, key := range keys {
			at, known := lake.Delivered(key)
			if !known {
				at = hour
			}
			if at.Before(p.From) || !at.Before(p.To) {
				continue
			}
			if _, found := slices.BinarySearch(there, target(name, key)); found {
				r.Before++
				continue
			}
			work.Go(func() error {
				o := object{model: model, names: names, key: key, at: at}
				if err := o.replay(ctx, store, target(name, key)); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				atomic.AddInt64(&r.Objects, 1)
				atomic.AddInt64(&r.Records, o.records)
				atomic.AddInt64(&r.Rejected, o.rejected)
				return nil
			})
		}
	}
	err := work.Wait()
	return r, err
}

func target(name, activityKey string) string {
	return lake.ReplayDir(name) + lake.RecommendationsRoot + strings.TrimPrefix(activityKey, lake.ActivityRoot)
}

// pin makes sure that all records of a name come from one version.
func pin(ctx context.Context, store lake.Store, m marker) error {
	key := lake.ReplayDir(m.Name) + markerFile
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := store.PutIf(ctx, key, body, ""); !errors.Is(err, lake.ErrChanged) {
		return err
	}
	stored, _, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	defer stored.Close()
	var there marker
	if err := json.NewDecoder(stored).Decode(&there); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if there != m {
		return fmt.Errorf("replay %s is of model %s, not of %s: choose another name", m.Name, there.ModelVersion, m.ModelVersion)
	}
	return nil
}

// object is one object of activity/ on its way.
type object struct {
	model Model
	names dataset.Event
	key   string
	at    time.Time

	waiting           []recommend.Event
	out               bytes.Buffer
	records, rejected int64
}

func (o *object) replay(ctx context.Context, store lake.Store, target string) error {
	body, _, err := store.Get(ctx, o.key)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := o.answerAll(body); err != nil || o.records == 0 {
		return err
	}
	return store.Put(ctx, target, bytes.NewReader(o.out.Bytes()))
}

func (o *object) answerAll(lines io.Reader) error {
	for line, err := range event.Lines(lines) {
		if err != nil {
			return err
		}
		if line.Err != nil {
			o.rejected++
			continue
		}
		o.add(line.Number, bytes.Clone(line.Payload))
		if len(o.waiting) == together {
			if err := o.answer(); err != nil {
				return err
			}
		}
	}
	return o.answer()
}

func (o *object) add(number int, payload []byte) {
	e, err := event.Parse(payload, o.names)
	if err != nil {
		o.rejected++
		return
	}
	o.waiting = append(o.waiting, recommend.Event{Event: e, ID: fmt.Sprintf("%s:%d", o.key, number), User: o.model.User(e.User), Variant: experiment.Replay})
}

func (o *object) answer() error {
	records, err := o.model.Records(o.names.Item, o.waiting, o.at)
	if err != nil {
		return err
	}
	o.waiting = o.waiting[:0]
	for _, record := range records {
		o.out.Write(record.Line)
		o.records++
	}
	return nil
}
