package mysqltable

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// readBinlog is the binary log's position at the snapshot. MariaDB takes both under one lock
// (https://mariadb.com/docs/server/reference/sql-statements/transactions/start-transaction);
// MySQL has no such status.
func (s *Snapshot) readBinlog(ctx context.Context) string {
	rows, err := s.conn.QueryContext(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return ""
	}
	defer rows.Close()
	status := map[string]string{}
	for rows.Next() {
		var name, value string
		if rows.Scan(&name, &value) != nil {
			return ""
		}
		status[strings.ToLower(name)] = value
	}
	file, position := status["binlog_snapshot_file"], status["binlog_snapshot_position"]
	if rows.Err() != nil || file == "" {
		return ""
	}
	return file + ":" + position
}

// executed is what MySQL has executed so far by its GTIDs, "" where it keeps none.
func (s *Snapshot) executed(ctx context.Context) (gtids string) {
	// An error says that the server has no such variable, as MariaDB.
	if s.conn.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_executed").Scan(&gtids) != nil || gtids == "" {
		return ""
	}
	return "gtid_executed " + strings.ReplaceAll(gtids, "\n", "")
}

// attempts bounds how often Snapshots begins again: between two statements that follow each other
// at once, a server of 1,000 commits a second has none in most cases.
const attempts = 5

// Snapshots begins n snapshots of the same moment, so that a table can be read on n connections
// at once, or one snapshot where the server cannot show that they are: that takes MariaDB with a
// binary log that holds every change, those that a replica receives among them. Only a change that
// an administrator keeps out of the log (sql_log_bin = 0, binlog_ignore_db) does not show. Close
// them all.
func (s *Server) Snapshots(ctx context.Context, n int) ([]*Snapshot, error) {
	first, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	all := []*Snapshot{first}
	if !first.logsEverything(ctx) {
		return all, nil
	}
	for len(all) < n {
		next, err := s.Snapshot(ctx)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		all = append(all, next)
	}
	for range attempts {
		if !slices.ContainsFunc(all, func(one *Snapshot) bool { return one.binlog != first.binlog }) {
			return all, nil
		}
		for _, one := range all {
			if err := one.begin(ctx); err != nil {
				return nil, errors.Join(s.explain(err, ""), closeAll(all))
			}
		}
	}
	return all[:1], closeAll(all[1:])
}

func closeAll(snapshots []*Snapshot) error {
	var err error
	for _, s := range snapshots {
		err = errors.Join(err, s.Close())
	}
	return err
}

// logsEverything tells whether equal positions of the binary log mean equal rows.
func (s *Snapshot) logsEverything(ctx context.Context) (all bool) {
	if s.binlog == "" {
		return false
	}
	err := s.conn.QueryRowContext(ctx, "SELECT @@GLOBAL.log_slave_updates OR @@GLOBAL.gtid_slave_pos = ''").Scan(&all)
	return err == nil && all
}

// IsAt tells whether the snapshot is provably of the same moment as an earlier one with this Position.
func (s *Snapshot) IsAt(ctx context.Context, position string) bool {
	return s.binlog != "" && s.binlog == position && s.logsEverything(ctx)
}
