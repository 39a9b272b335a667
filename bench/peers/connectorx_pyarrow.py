"""connectorx reads the table into Arrow, PyArrow writes it: connectorx_pyarrow.py URL OUT PARTS"""

import sys

import connectorx
import pyarrow.parquet

url, out, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])
query = "SELECT user, product, rating, price, city, ts FROM ratings"
split = {"partition_on": "user", "partition_num": parts} if parts > 1 else {}
table = connectorx.read_sql(url, query, return_type="arrow", **split)
pyarrow.parquet.write_table(table, out + "/part.parquet", compression="zstd")
