// Package hitrate compares what two model versions recommended with what the same users looked at afterwards, by one Athena query over
// recommendations/, or replays of it, and activity/.
package hitrate

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/lake"
)

// Arm is one side of a comparison. What is "" does not matter; with Replay it is a replay, else what was shown.
type Arm struct {
	Variant string // experiment.Control or Treatment
	Version string // of the model
	Replay  string // name of the replay
}

func (a Arm) String() string {
	switch {
	case a.Replay != "":
		return lake.ReplayRoot + a.Replay
	case a.Variant != "":
		return a.Variant + " " + a.Version
	}
	return a.Version
}

// Question is what is compared: the recommendations of [From, To − Window), each with what its user looked at until Window later. Younger
// ones are left out: their users have not had the time.
type Question struct {
	Arms     [2]Arm
	From, To time.Time
	Window   time.Duration
}

// Query is the question in SQL for the lake's tables, of a shop whose events have these fields.
//
// Of a recommendation the moment is generated_at; of activity it is the moment at which its object in activity/ began, which Firehose
// writes into the object's name: events carry no time that could be relied on. So what is counted has surely come after the
// recommendation, and what came within the object that was open then (DeliverySeconds of the template) is not counted, for both
// arms alike. A recommendation is counted once by its id, however often it was delivered; nobody's events (no user) count not at all.
//
// The result is one row: sums over users of recommendations n and hits h, of their squares and products, from which compare
// computes rates and intervals.
func (q Question) Query(names dataset.Event) string {
	user, history, item := column(names.User), column(names.History), column(names.Item)
	kind := "'view '"
	if names.InCart != "" {
		kind = fmt.Sprintf("CASE WHEN entry.%s THEN 'cart ' ELSE 'view ' END", column(names.InCart))
	}
	var arms []string
	for n, a := range q.Arms {
		table, where := "recommendations", []string{hours(q.From.Add(-time.Hour), q.To)} // an object holds what came while it was open
		if a.Replay != "" {
			table, where = "replays", append(where, "replay = "+text(a.Replay))
		}
		if a.Variant != "" {
			where = append(where, "variant = "+text(a.Variant))
		}
		if a.Version != "" {
			where = append(where, "model_version = "+text(a.Version))
		}
		arms = append(arms, fmt.Sprintf(`SELECT %d AS arm, CAST(%s AS varchar) AS person, recommendation_id,
      CAST(replace(substr(CAST(generated_at AS varchar), 1, 19), 'T', ' ') AS timestamp) AS moment,
      transform(recommended_items, entry -> entry.id) AS items
    FROM %s WHERE %s`, n+1, user, table, strings.Join(where, " AND ")))
	}
	var sums []string
	for _, product := range terms {
		sums = append(sums, "sum("+product+")")
	}
	return fmt.Sprintf(`WITH offered AS (
  SELECT arm, person, recommendation_id, item, min(moment) AS moment
  FROM (
    %s
  ) CROSS JOIN UNNEST(items) AS one (item)
  WHERE person <> '' AND moment >= %s AND moment < %s
  GROUP BY arm, person, recommendation_id, item
), looked AS (
  SELECT DISTINCT person, substr(entry, 6) AS item, substr(entry, 1, 4) AS kind, moment
  FROM (
    SELECT CAST(%s AS varchar) AS person,
      CAST(substr(delivered, 1, 10) || ' ' || replace(substr(delivered, 12), '-', ':') AS timestamp) AS moment,
      transform(history, entry -> %s || entry.%s) AS entries
    FROM (
      SELECT %s, %s AS history, regexp_extract("$path", '[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}') AS delivered
      FROM activity WHERE %s
    )
  ) CROSS JOIN UNNEST(entries) AS one (entry)
), judged AS (
  SELECT arm, offered.person, recommendation_id,
    max(CASE WHEN kind IS NULL THEN 0 ELSE 1 END) AS v, max(CASE WHEN kind = 'cart' THEN 1 ELSE 0 END) AS c
  FROM offered LEFT JOIN looked ON looked.person = offered.person AND looked.item = offered.item
    AND looked.moment > offered.moment AND looked.moment <= offered.moment + INTERVAL '%d' SECOND
  GROUP BY arm, offered.person, recommendation_id
), people AS (
  SELECT sum(CASE WHEN arm = 1 THEN 1 ELSE 0 END) AS n1, sum(CASE WHEN arm = 2 THEN 1 ELSE 0 END) AS n2,
    sum(CASE WHEN arm = 1 THEN v ELSE 0 END) AS v1, sum(CASE WHEN arm = 2 THEN v ELSE 0 END) AS v2,
    sum(CASE WHEN arm = 1 THEN c ELSE 0 END) AS c1, sum(CASE WHEN arm = 2 THEN c ELSE 0 END) AS c2
  FROM judged GROUP BY person
)
SELECT %s FROM people`,
		strings.Join(arms, "\n    UNION ALL "), moment(q.From), moment(q.To.Add(-q.Window)),
		user, kind, item, user, history, hours(q.From, q.To), int64(q.Window/time.Second), strings.Join(sums, ", "))
}

// terms are what the query sums over users, in its order.
var terms = []string{
	"CASE WHEN n1 > 0 THEN 1 ELSE 0 END", "CASE WHEN n2 > 0 THEN 1 ELSE 0 END", "n1", "n2", "n1 * n1", "n2 * n2", "n1 * n2",
	"v1", "v2", "v1 * v1", "v2 * v2", "v1 * n1", "v2 * n2", "v1 * v2", "v1 * n2", "n1 * v2",
	"c1", "c2", "c1 * c1", "c2 * c2", "c1 * n1", "c2 * n2", "c1 * c2", "c1 * n2", "n1 * c2",
}

// hours are the folders between two moments.
func hours(from, to time.Time) string {
	return fmt.Sprintf("datehour BETWEEN %s AND %s", text(from.UTC().Format(lake.HourLayout)), text(to.UTC().Format(lake.HourLayout)))
}

func moment(t time.Time) string { return "timestamp " + text(t.UTC().Format(time.DateTime)) }

func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func column(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
