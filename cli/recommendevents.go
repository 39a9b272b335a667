package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/modelmemory"
	"github.com/millrace/millrace/shared/recommend"
)

// rejectedEvents says that a run has done all it could, and that some events could not be answered.
type rejectedEvents int

func (n rejectedEvents) Error() string {
	return fmt.Sprintf("%s rejected: see above for the lines and the reasons", plural(int(n), "event"))
}

// eventsAtOnce are answered in one pass over the items.
const eventsAtOnce = 32

// eventRun answers a file of events without a cloud: what the stream's function does, from a terminal.
type eventRun struct {
	model    *modelmemory.Model
	names    dataset.Event
	file     string
	out      *bufio.Writer
	rejected io.Writer
	now      func() time.Time

	waiting []recommend.Event
	refused int
}

// recommendEvents answers the events of a file, one record a line in their order.
func recommendEvents(ctx context.Context, dir, datasetName, file string, out, rejected io.Writer) error {
	artifact, err := openArtifact(ctx, dir)
	if err != nil {
		return err
	}
	if datasetName == "" {
		datasetName = artifact.Manifest.Dataset
		if !slices.Contains(dataset.Names(), datasetName) { // trained from a file: the events of the default shop
			datasetName = defaultDataset
		}
	}
	shop, err := dataset.Load(datasetName)
	if err != nil {
		return err
	}
	model, err := modelmemory.Read(ctx, artifact, shop)
	if err != nil {
		return err
	}
	events, err := os.Open(file)
	if err != nil {
		return err
	}
	defer events.Close()
	r := eventRun{model: model, names: shop.Event, file: file, out: bufio.NewWriter(out), rejected: rejected, now: time.Now}
	if err := r.run(ctx, events); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r.refused > 0 {
		return rejectedEvents(r.refused)
	}
	return nil
}

func (r *eventRun) run(ctx context.Context, events io.Reader) error {
	lines := bufio.NewReaderSize(events, event.MaxBytes+2) // with \r\n
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if long {
			r.refuse(number, fmt.Sprintf("more than the %d bytes an event may have", event.MaxBytes))
		} else if payload := bytes.TrimSpace(line); len(payload) > 0 {
			if err := r.add(number, bytes.Clone(payload)); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the end
			return errors.Join(r.answer(), r.out.Flush())
		}
	}
}

func (r *eventRun) refuse(number int, reason string) {
	r.refused++
	fmt.Fprintf(r.rejected, "%s:%d: %s\n", r.file, number, reason)
}

func (r *eventRun) add(number int, payload []byte) error {
	e, err := event.Parse(payload, r.names)
	if err != nil {
		r.refuse(number, err.Error())
		return nil
	}
	r.waiting = append(r.waiting, recommend.Event{Event: e, ID: fmt.Sprintf("%s:%d", filepath.Base(r.file), number), User: r.model.User(e.User)})
	if len(r.waiting) < eventsAtOnce {
		return nil
	}
	return r.answer()
}

func (r *eventRun) answer() error {
	records, err := r.model.Records(r.names.Item, r.waiting, r.now())
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
