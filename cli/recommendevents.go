package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/modelmemory"
	"github.com/millrace/millrace/shared/recommend"
	"github.com/millrace/millrace/shared/vectorstore"
)

// rejectedEvents says that a run has done all it could, and that some events could not be answered.
type rejectedEvents int

func (n rejectedEvents) Error() string {
	return fmt.Sprintf("%s rejected: see above for the reasons", plural(int(n), "event"))
}

// eventRun answers a file of events without a cloud: what the stream's function does, from a terminal.
type eventRun struct {
	serving  *activemodel.Serving
	names    dataset.Event
	file     string
	out      *bufio.Writer
	rejected io.Writer
	now      func() time.Time

	waiting []recommend.Event
	refused int
}

// eventSource says whence events are answered.
type eventSource struct {
	dir         string // an artifact's
	postgres    string // or a database
	datasetName string // "": the model's
}

// open returns what serves, and the shop whose events and rules it knows.
func (f eventSource) open(ctx context.Context) (*activemodel.Serving, *dataset.Dataset, func(), error) {
	if f.postgres != "" {
		return f.openDatabase(ctx)
	}
	artifact, err := openArtifact(ctx, f.dir)
	if err != nil {
		return nil, nil, nil, err
	}
	shop, err := f.shop(artifact.Manifest.Dataset)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := modelmemory.Read(ctx, artifact, shop)
	if err != nil {
		return nil, nil, nil, err
	}
	users := func(_ context.Context, ids []string) (map[string]*recommend.User, error) {
		found := map[string]*recommend.User{}
		for _, id := range ids {
			if user := m.User(id); user != nil {
				found[id] = user
			}
		}
		return found, nil
	}
	serving := activemodel.Alone(&activemodel.Model{Answerer: activemodel.InMemory(m.Model), Version: m.Version, Users: users})
	return serving, shop, func() {}, nil
}

// openDatabase follows the database's pointer, or its experiment, as the function does.
func (f eventSource) openDatabase(ctx context.Context) (*activemodel.Serving, *dataset.Dataset, func(), error) {
	store, err := vectorstore.Open(ctx, vectorstore.URL(f.postgres))
	if err != nil {
		return nil, nil, nil, err
	}
	serving, shop, err := f.serving(ctx, store)
	if err != nil {
		store.Close()
		return nil, nil, nil, err
	}
	return serving, shop, store.Close, nil
}

func (f eventSource) serving(ctx context.Context, store *vectorstore.Store) (*activemodel.Serving, *dataset.Dataset, error) {
	versions, err := store.Versions(ctx)
	if err != nil {
		return nil, nil, err
	}
	of := ""
	for _, v := range versions {
		if v.State == vectorstore.Active {
			of = v.Dataset
		}
	}
	shop, err := f.shop(of)
	if err != nil {
		return nil, nil, err
	}
	serving, err := activemodel.New(store, shop, math.MaxInt64).Serving(ctx)
	return serving, shop, err
}

// shop is the model's, or that of a model trained from a file: the events of the default shop.
func (f eventSource) shop(model string) (*dataset.Dataset, error) {
	name := f.datasetName
	if name == "" {
		name = model
		if !slices.Contains(dataset.Names(), name) {
			name = defaultDataset
		}
	}
	return dataset.Load(name)
}

// recommendEvents answers the events of a file, one record a line in their order. What the records go to is opened last: nothing is
// overwritten before they can be made.
func recommendEvents(ctx context.Context, from eventSource, file string, to func() (io.WriteCloser, error), rejected io.Writer) (err error) {
	events, err := os.Open(file)
	if err != nil {
		return err
	}
	defer events.Close()
	serving, shop, done, err := from.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	out, err := to()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	r := eventRun{serving: serving, names: shop.Event, file: file, out: bufio.NewWriter(out), rejected: rejected, now: time.Now}
	if err := r.run(ctx, events); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r.refused > 0 {
		return rejectedEvents(r.refused)
	}
	return nil
}

func (r *eventRun) run(ctx context.Context, events io.Reader) error {
	for line, err := range event.Lines(events) {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case line.Err != nil:
			r.refuse(line.Number, line.Err.Error())
		default:
			if err := r.add(ctx, line.Number, bytes.Clone(line.Payload)); err != nil {
				return err
			}
		}
	}
	return errors.Join(r.answer(ctx), r.out.Flush())
}

func (r *eventRun) refuse(number int, reason string) {
	r.refused++
	fmt.Fprintf(r.rejected, "%s:%d: %s\n", r.file, number, reason)
}

func (r *eventRun) add(ctx context.Context, number int, payload []byte) error {
	e, err := event.Parse(payload, r.names)
	if err != nil {
		r.refuse(number, err.Error())
		return nil
	}
	r.waiting = append(r.waiting, recommend.Event{Event: e, ID: fmt.Sprintf("%s:%d", filepath.Base(r.file), number)})
	if len(r.waiting) < r.serving.Default().AtOnce() {
		return nil
	}
	return r.answer(ctx)
}

func (r *eventRun) answer(ctx context.Context) error {
	assigned := r.serving.Assign(r.waiting)
	if err := activemodel.FindUsers(ctx, assigned); err != nil {
		return err
	}
	records, err := activemodel.Records(ctx, assigned, r.names.Item, r.now())
	if err != nil {
		return err
	}
	r.waiting = r.waiting[:0]
	for _, record := range records {
		if _, err := r.out.Write(record.Line); err != nil {
			return err
		}
	}
	return nil
}
