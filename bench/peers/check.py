"""Says what was written: rows, a checksum of all values that does not depend on order, the types. check.py tsv|parquet PATTERN"""

import json
import sys

import duckdb

COLUMNS = "{user: 'BIGINT', product: 'VARCHAR', rating: 'INTEGER', price: 'DECIMAL(10,2)', city: 'VARCHAR', ts: 'TIMESTAMP'}"


def main():
    kind, pattern = sys.argv[1:]
    if kind == "tsv":
        relation = f"read_csv('{pattern}', header = false, delim = '\\t', quote = '', escape = '', nullstr = 'NULL', columns = {COLUMNS})"
    else:
        relation = f"read_parquet('{pattern}', hive_partitioning = false)"
    duckdb.execute("SET TimeZone = 'UTC'")
    rows, values = duckdb.execute(f"""
        SELECT count(*), sum(hash(user::BIGINT, product::VARCHAR, rating::INTEGER, price::DECIMAL(10,2), city::VARCHAR, ts::TIMESTAMP)::HUGEINT)::VARCHAR
        FROM {relation}""").fetchone()
    types = {name: kind for name, kind, *_ in duckdb.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    print(json.dumps({"rows": rows, "values": values, "price": types["price"], "ts": types["ts"]}))


if __name__ == "__main__":
    main()
