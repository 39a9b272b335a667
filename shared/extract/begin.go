package extract

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

// begin goes on from the run's checkpoint, or plans the run from its beginning.
func (l *landing) begin(ctx context.Context) error {
	now := lake.RawSnapshot{Position: l.snapshot.Position, Server: l.snapshot.Version}
	checkpoint, etag, err := lake.ReadCheckpoint(ctx, l.Store, l.request.Table, l.request.Run)
	if err == nil {
		l.etag = etag
		if resumed, err := l.resume(ctx, checkpoint, now); err != nil || resumed {
			return err
		}
	} else if !errors.Is(err, lake.ErrNotFound) {
		return err
	}
	if l.state, err = l.plan(ctx); err != nil {
		return err
	}
	l.state.Snapshots = []lake.RawSnapshot{now}
	l.state.Variant = checkpoint.Variant
	l.state.Sections = make([]lake.RawSection, 1)
	l.at = make([]place, 1)
	return nil
}

// resume goes on where an earlier invocation of the run has ended, if that keeps the table one
// picture: the rows that have landed must be those of this snapshot too. Where a run takes several
// invocations that cannot be had, and the manifest says so.
func (l *landing) resume(ctx context.Context, c lake.RawCheckpoint, now lake.RawSnapshot) (bool, error) {
	rows, files := c.Landed()
	if !l.fits(c) {
		l.notice("starting again: the run broke off after %d rows, but since then the table or its settings were altered", rows)
		return false, nil
	}
	same, how := l.snapshot.IsAt(ctx, c.Snapshots[len(c.Snapshots)-1].Position), "nothing was committed since"
	var err error
	if !same && c.Continued == 0 {
		how = "the server's checksum of them is still the same"
		if same, err = l.unchanged(ctx, c); err != nil {
			return false, err
		}
	}
	switch {
	case same:
		c.Snapshots[len(c.Snapshots)-1] = now
	case c.Continued > 0:
		how = "some may have changed since, which the manifest will say"
		c.Snapshots = append(c.Snapshots, now)
	default:
		l.notice("starting again: the run broke off after %d rows, and some of those have changed since", rows)
		return false, nil
	}
	l.state = c
	for _, s := range c.Sections {
		at := place{from: s.Next}
		for _, f := range s.Files {
			at.rows += f.Rows
		}
		l.at = append(l.at, at)
		l.chunks += len(s.Chunks)
	}
	l.notice("going on from the checkpoint: %d rows in %d files have landed; %s", rows, files, how)
	return true, nil
}

// fits tells whether a checkpoint is of the same table, read in the same way.
func (l *landing) fits(c lake.RawCheckpoint) bool {
	r, t := l.request, l.tables[0]
	column := ""
	if c.Watermark != nil {
		column = c.Watermark.Column
	}
	return c.Dataset == r.Dataset && slices.Equal(c.Columns, t.Columns) && slices.Equal(c.Key, l.key()) &&
		c.Mode == r.mode() && (c.Mode == dataset.Full || column == r.Settings.Extract.Watermark) &&
		len(c.Snapshots) > 0 && len(c.Sections) > 0
}

// unchanged asks the server for the checksum that the landed rows have in this snapshot.
func (l *landing) unchanged(ctx context.Context, c lake.RawCheckpoint) (bool, error) {
	l.state.Mode, l.state.Watermark = c.Mode, c.Watermark
	for _, s := range c.Sections {
		var landed checksum.Sum
		for _, chunk := range s.Chunks {
			landed = landed.Plus(chunk.Source)
		}
		if len(s.Chunks) == 0 {
			continue
		}
		if now, err := l.tables[0].Checksum(ctx, l.within(s.From, s.Next)); err != nil || now != landed {
			return false, err
		}
	}
	return true, nil
}

func (l *landing) key() []string {
	if l.request.Settings.Key != nil {
		return l.request.Settings.Key
	}
	return l.tables[0].Key
}

// plan is the state before the first row.
func (l *landing) plan(ctx context.Context) (lake.RawCheckpoint, error) {
	r := l.request
	state := lake.RawCheckpoint{
		Header:  lake.Header{Format: lake.RawCheckpointFormat, Dataset: r.Dataset, Run: r.Run},
		Table:   r.Table,
		Mode:    r.mode(),
		Columns: l.tables[0].Columns,
		Key:     l.key(),
	}
	before, err := l.earlierRuns(ctx)
	if err != nil {
		return state, err
	}
	if state.Drift, err = drift(r, before.last, state.Columns); err != nil {
		return state, err
	}
	return state, l.boundWatermark(ctx, before.day, &state)
}

// manifest is what the state is published as.
func (l *landing) manifest() lake.RawManifest {
	s := l.state
	m := lake.RawManifest{
		Header: s.Header, Table: s.Table, Mode: s.Mode, Columns: s.Columns, Key: s.Key, Watermark: s.Watermark, Drift: s.Drift,
		Snapshot: l.describe(),
	}
	m.Format = lake.RawFormat
	for _, section := range s.Sections {
		for _, c := range section.Chunks {
			c.File += len(m.Files)
			m.Chunks = append(m.Chunks, c)
			m.Source = m.Source.Plus(c.Source)
		}
		for _, f := range section.Files {
			m.Files = append(m.Files, f)
			m.Rows += f.Rows
			m.Checksum = m.Checksum.Plus(f.Checksum)
		}
		m.ZeroDates, m.InvalidText = plus(m.ZeroDates, section.ZeroDates), plus(m.InvalidText, section.InvalidText)
	}
	return m
}

// describe says what the rows are a picture of, and why. It does not say in how many transactions
// they were read if all of those saw the same rows.
func (l *landing) describe() lake.Snapshot {
	snapshots, table := l.state.Snapshots, l.tables[0]
	last := snapshots[len(snapshots)-1]
	d := lake.Snapshot{Kind: lake.Consistent, Server: last.Server, Log: last.Position}
	switch {
	case table.Engine == "":
		d.Kind, d.Reason = lake.Fuzzy, "a view: the tables under it may keep no snapshots"
	case !table.Transactional:
		d.Kind, d.Reason = lake.Fuzzy, "storage engine "+table.Engine+" keeps no snapshots: changes made while it was read may show in part"
	case len(snapshots) > 1:
		d.Kind, d.Reason = lake.Fuzzy, fmt.Sprintf("read in %d snapshots, one after the other, because one invocation was too short: changes made meanwhile may show in part", len(snapshots))
	case l.snapshot.WithConsistentSnapshot:
		d.Reason = "all rows are those of one transaction begun WITH CONSISTENT SNAPSHOT"
	default:
		d.Reason = "all rows are those of one REPEATABLE READ transaction; the snapshot is that of its first read, the server has no WITH CONSISTENT SNAPSHOT"
	}
	if len(snapshots) > 1 {
		for _, s := range snapshots {
			d.Positions = append(d.Positions, s.Position)
		}
		d.Log = ""
	}
	return d
}
