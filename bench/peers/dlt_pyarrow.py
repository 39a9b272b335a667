"""dlt's sql_database source with its pyarrow backend, to Parquet files: dlt_pyarrow.py URL OUT"""

import os
import sys

url, out = sys.argv[1], sys.argv[2]
os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR", DLT_DATA_DIR=out + "/state")

import dlt
from dlt.sources.sql_database import sql_table

pipeline = dlt.pipeline("bench", pipelines_dir=out + "/pipelines", dataset_name="bench",
                        destination=dlt.destinations.filesystem("file://" + out + "/data"))
pipeline.run(sql_table(url, table="ratings", backend="pyarrow", chunk_size=100_000), loader_file_format="parquet").raise_on_failed_jobs()
