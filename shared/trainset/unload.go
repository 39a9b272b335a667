package trainset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"strconv"
	"strings"

	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// Athena is where the catalog's tables can be queried.
type Athena struct {
	Queries  queries
	Database string
	Location string // of the store: s3://<bucket>/
}

// queries is what is used of a workgroup.
type queries interface {
	// Query returns the rows of a SELECT as text; nil is NULL.
	Query(ctx context.Context, query string) ([][]*string, error)
	// Once runs a statement at most once for a token; *athena.QueryError if it fails.
	Once(ctx context.Context, statement, token string) error
}

var _ queries = (*athena.Workgroup)(nil)

// join lets Athena join, checks what it read and wrote, and publishes its rows in files of our own: Athena folds names to
// lower case, widens types and knows no content checksum, and a reader must not see which engine it was.
func (a *Athena) join(ctx context.Context, s lake.Store, p *plan, limits Limits, marker *lake.TrainingSuccess) error {
	counted, err := a.count(ctx, p)
	if err != nil {
		return err
	}
	folder, err := a.unload(ctx, s, p, marker.Header, counted.joined)
	if err != nil {
		return err
	}
	marker.Orphans = counted.orphans
	return publishRows(ctx, s, unloaded(ctx, s, folder, p.columns, counted.joined), limits.File, marker)
}

type counts struct {
	joined  int64
	orphans map[string]int64
}

// count counts before anything is written, and refuses tables of which Athena sees other rows than the markers list, or which
// would multiply rows.
func (a *Athena) count(ctx context.Context, p *plan) (c counts, err error) {
	rows, err := a.Queries.Query(ctx, p.countSQL(a.Database))
	if err != nil {
		return c, err
	}
	if len(rows) != 1 {
		return c, fmt.Errorf("counting in Athena gave %d rows, want one", len(rows))
	}
	numbers := make([]int64, len(rows[0]))
	for i, text := range rows[0] {
		if text == nil {
			return c, fmt.Errorf("counting in Athena gave NULL for number %d", i+1)
		}
		if numbers[i], err = strconv.ParseInt(*text, 10, 64); err != nil {
			return c, fmt.Errorf("counting in Athena: number %d: %w", i+1, err)
		}
	}
	n, tables := len(p.lookups), p.tables()
	if want := 2 + 2*n + len(tables); len(numbers) != want {
		return c, fmt.Errorf("counting in Athena gave %d numbers, want %d", len(numbers), want)
	}
	base, matched, joined, twice, stored := numbers[0], numbers[1:1+n], numbers[1+n], numbers[2+n:2+2*n], numbers[2+2*n:]
	for i, t := range tables {
		if stored[i] != t.Rows() {
			return c, fmt.Errorf("table %s: Athena reads %d rows of its days, their markers list %d: files that no marker lists lie in curated/, or the catalog's table is not the partitioner's. Curate the run again",
				t.Name, stored[i], t.Rows())
		}
	}
	c = counts{joined: joined, orphans: map[string]int64{}}
	for i, l := range p.lookups {
		if twice[i] > 0 {
			return c, twiceError(l.table.Name, fmt.Sprintf("%d values of %s are", twice[i], l.table.Columns[l.keyAt[0]].Name))
		}
		if orphans := base - matched[i]; orphans > 0 {
			c.orphans[l.table.Name] = orphans
		}
	}
	return c, nil
}

// maxUnloads bounds how many failed queries of earlier invocations are passed over.
const maxUnloads = 20

// unload has Athena write the join below a folder, and returns the folder. Folder and token are named for the statement and the tables'
// markers: an invocation that comes after a crash, or at the same time, waits for the same query and reads the same files.
// A query that failed earlier, or whose files are gone or were left by one before, is passed over. All such folders are hidden from queries by their
// underscore, and removed when the marker is published.
func (a *Athena) unload(ctx context.Context, s lake.Store, p *plan, h lake.Header, rows int64) (folder string, err error) {
	query := p.selectSQL(a.Database)
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%v", query, h.Parents)
	name := hex.EncodeToString(hash.Sum(nil))
	for attempt := range maxUnloads {
		folder = lake.TrainingUnload(h.Dataset, h.Run, fmt.Sprintf("%.16s-%d", name, attempt))
		statement := fmt.Sprintf("UNLOAD (%s) TO '%s' WITH (format = 'PARQUET', compression = 'ZSTD')", query, strings.ReplaceAll(a.Location+folder, "'", "''"))
		err = a.Queries.Once(ctx, statement, fmt.Sprintf("%s-%d", name, attempt))
		if err == nil && rows > 0 {
			keys, listErr := s.List(ctx, folder)
			if listErr != nil || len(keys) > 0 {
				return folder, listErr
			}
			err = errors.New("its files are gone") // an earlier publication removed them, and its marker was taken away
			continue
		}
		var failed *athena.QueryError
		if !errors.As(err, &failed) {
			return folder, err
		}
		if !failed.Earlier && !strings.Contains(failed.Reason, notEmpty) {
			return "", fmt.Errorf("%w. Where it says that bytes scanned are limited, raise the workgroup's limit (BytesScannedCutoffPerQuery)", err)
		}
	}
	return "", fmt.Errorf("%d earlier queries for it cannot be used any more, the last because: %w", maxUnloads, err)
}

// notEmpty is how Athena refuses to UNLOAD into a folder with files in it, which a query whose token it has forgotten left.
const notEmpty = "HIVE_PATH_ALREADY_EXISTS"

// unloaded are the rows that Athena wrote, as cols; want is how many there must be. Memory: one file.
func unloaded(ctx context.Context, s lake.Store, folder string, cols []schema.Column, want int64) iter.Seq2[schema.Row, error] {
	return func(yield func(schema.Row, error) bool) {
		var n int64
		stopped := false
		keys, err := s.List(ctx, folder)
		for _, key := range keys {
			if err == nil && !stopped {
				err = unloadedFile(ctx, s, key, cols, func(row schema.Row) bool {
					n++
					stopped = !yield(row, nil)
					return !stopped
				})
			}
		}
		if err == nil && n != want {
			err = fmt.Errorf("%s: Athena wrote %d rows, it counted %d: delete that folder and run it again", folder, n, want)
		}
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

func unloadedFile(ctx context.Context, s lake.Store, key string, cols []schema.Column, do func(schema.Row) bool) (err error) {
	body, _, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	reader, err := parquetfile.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	convert, err := conversions(reader.Columns(), cols)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	out := make(schema.Row, len(cols))
	for row := schema.Row(nil); ; {
		row, err = reader.Next(row)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		for i, c := range convert {
			if v := row[c.from]; v.Null {
				out[i] = schema.Value{Null: true}
			} else {
				out[i] = c.to(v)
			}
		}
		if !do(out) {
			return nil
		}
	}
}

// conversion is where a column's values are in Athena's file, and what makes them the column's.
type conversion struct {
	from int
	to   func(schema.Value) schema.Value
}

func conversions(from, cols []schema.Column) ([]conversion, error) {
	convert := make([]conversion, len(cols))
	for i, c := range cols {
		at := schema.Index(from, fmt.Sprintf("c%d", i))
		if at < 0 {
			return nil, fmt.Errorf("there is no column c%d for %s, Athena wrote %v", i, c.Name, schema.Names(from))
		}
		if convert[i] = (conversion{at, converted(from[at], c)}); convert[i].to == nil {
			return nil, fmt.Errorf("column %s is %s, but Athena wrote %v", c.Name, typeName(c), from[at])
		}
	}
	return convert, nil
}

// converted is nil if values of one column are none of the other.
func converted(from, to schema.Column) func(schema.Value) schema.Value {
	same := func(v schema.Value) schema.Value { return v }
	switch to.Kind {
	case schema.Int, schema.Time:
		if from.Kind == schema.Int {
			return same
		}
	case schema.Uint:
		if from.Kind == schema.Int && to.Bits < 64 {
			return same
		}
		if from.Kind == schema.Decimal && from.Scale == 0 && from.Precision > schema.MaxInt64Digits {
			return func(v schema.Value) schema.Value {
				return schema.Value{Int: int64(schema.Unscaled(v.Bytes).Uint64())}
			}
		}
	case schema.Decimal:
		wide := to.Precision > schema.MaxInt64Digits
		switch {
		case from.Kind != schema.Decimal || from.Scale != to.Scale || from.Precision > to.Precision:
		case wide && from.Precision <= schema.MaxInt64Digits:
			return func(v schema.Value) schema.Value {
				return schema.Value{Bytes: schema.AppendUnscaled(nil, big.NewInt(v.Int))}
			}
		default:
			return same
		}
	case schema.Datetime, schema.Timestamp:
		if from.Kind == schema.Int { // milliseconds, see carried
			return func(v schema.Value) schema.Value { return schema.Value{Int: v.Int * 1000} }
		}
	case schema.String, schema.Bytes:
		if from.Kind == schema.String || from.Kind == schema.Bytes {
			return same
		}
	default:
		if from.Kind == to.Kind {
			return same
		}
	}
	return nil
}
