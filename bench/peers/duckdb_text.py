"""DuckDB writes Parquet from text: duckdbpeer.py TSV OUT. With the database itself, it would need its mysql extension."""

import sys

import duckdb

from check import COLUMNS

tsv, out = sys.argv[1], sys.argv[2]
duckdb.execute("SET memory_limit = '1GB'")
duckdb.execute(f"""COPY (SELECT * FROM read_csv('{tsv}', header = false, delim = '\\t', quote = '', escape = '', nullstr = 'NULL', columns = {COLUMNS}))
                   TO '{out}/part.parquet' (FORMAT parquet, COMPRESSION zstd)""")
