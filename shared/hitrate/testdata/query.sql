WITH offered AS (
  SELECT arm, person, recommendation_id, item, min(moment) AS moment
  FROM (
    SELECT 1 AS arm, CAST("customer_number" AS varchar) AS person, recommendation_id,
      CAST(replace(substr(CAST(generated_at AS varchar), 1, 19), 'T', ' ') AS timestamp) AS moment,
      transform(recommended_items, entry -> entry.id) AS items
    FROM recommendations WHERE datehour BETWEEN '2026/11/20/23' AND '2026/11/22/12' AND variant = 'control' AND model_version = 'v1'
    UNION ALL SELECT 2 AS arm, CAST("customer_number" AS varchar) AS person, recommendation_id,
      CAST(replace(substr(CAST(generated_at AS varchar), 1, 19), 'T', ' ') AS timestamp) AS moment,
      transform(recommended_items, entry -> entry.id) AS items
    FROM replays WHERE datehour BETWEEN '2026/11/20/23' AND '2026/11/22/12' AND replay = 'try-1'
  ) CROSS JOIN UNNEST(items) AS one (item)
  WHERE person <> '' AND moment >= timestamp '2026-11-21 00:00:00' AND moment < timestamp '2026-11-21 12:00:00'
  GROUP BY arm, person, recommendation_id, item
), looked AS (
  SELECT DISTINCT person, substr(entry, 6) AS item, substr(entry, 1, 4) AS kind, moment
  FROM (
    SELECT CAST("customer_number" AS varchar) AS person,
      CAST(substr(delivered, 1, 10) || ' ' || replace(substr(delivered, 12), '-', ':') AS timestamp) AS moment,
      transform(history, entry -> CASE WHEN entry."in_shopping_cart" THEN 'cart ' ELSE 'view ' END || entry."product_code") AS entries
    FROM (
      SELECT "customer_number", "browse_history" AS history, regexp_extract("$path", '[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}') AS delivered
      FROM activity WHERE datehour BETWEEN '2026/11/21/00' AND '2026/11/22/12'
    )
  ) CROSS JOIN UNNEST(entries) AS one (entry)
), judged AS (
  SELECT arm, offered.person, recommendation_id,
    max(CASE WHEN kind IS NULL THEN 0 ELSE 1 END) AS v, max(CASE WHEN kind = 'cart' THEN 1 ELSE 0 END) AS c
  FROM offered LEFT JOIN looked ON looked.person = offered.person AND looked.item = offered.item
    AND looked.moment > offered.moment AND looked.moment <= offered.moment + INTERVAL '86400' SECOND
  GROUP BY arm, offered.person, recommendation_id
), people AS (
  SELECT sum(CASE WHEN arm = 1 THEN 1 ELSE 0 END) AS n1, sum(CASE WHEN arm = 2 THEN 1 ELSE 0 END) AS n2,
    sum(CASE WHEN arm = 1 THEN v ELSE 0 END) AS v1, sum(CASE WHEN arm = 2 THEN v ELSE 0 END) AS v2,
    sum(CASE WHEN arm = 1 THEN c ELSE 0 END) AS c1, sum(CASE WHEN arm = 2 THEN c ELSE 0 END) AS c2
  FROM judged GROUP BY person
)
SELECT sum(CASE WHEN n1 > 0 THEN 1 ELSE 0 END), sum(CASE WHEN n2 > 0 THEN 1 ELSE 0 END), sum(n1), sum(n2), sum(n1 * n1), sum(n2 * n2), sum(n1 * n2), sum(v1), sum(v2), sum(v1 * v1), sum(v2 * v2), sum(v1 * n1), sum(v2 * n2), sum(v1 * v2), sum(v1 * n2), sum(n1 * v2), sum(c1), sum(c2), sum(c1 * c1), sum(c2 * c2), sum(c1 * n1), sum(c2 * n2), sum(c1 * c2), sum(c1 * n2), sum(n1 * c2) FROM people
