"""Puts the rows where they are read from: Parquet in S3, a table of a database."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from psycopg2 import sql

from benchmarks.rows import COLUMNS, batches

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.s3 import S3


def to_parquet(s3: S3, bucket: str, key: str, kind: str, count: int, scratch: Path) -> str:
    """Write rows to a Parquet file in S3; return its URL.

    :param kind: ``traits`` or ``attrs``.
    :param scratch: a folder for the file on its way.
    """
    path = scratch / "rows.parquet"
    writer: pq.ParquetWriter | None = None
    for batch in batches(kind, count):
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch)
    assert writer is not None
    writer.close()
    s3.client().upload_file(str(path), bucket, key)
    path.unlink()
    return f"s3://{bucket}/{key}"


def to_parquet_files(
    s3: S3, bucket: str, prefix: str, kind: str, count: int, files: int, scratch: Path
) -> str:
    """Write rows to so many Parquet files in a folder of S3; return its URL.

    No user is in two of them.
    """
    paths = [scratch / f"{number}.parquet" for number in range(files)]
    writers: list[pq.ParquetWriter] = []
    for batch in batches(kind, count):
        size = -(-batch.num_rows // files)
        writers = writers or [pq.ParquetWriter(path, batch.schema) for path in paths]
        for number, writer in enumerate(writers):
            writer.write_batch(batch.slice(number * size, size))
    for writer, path in zip(writers, paths, strict=True):
        writer.close()
        s3.client().upload_file(str(path), bucket, f"{prefix}/{path.name}")
        path.unlink()
    return f"s3://{bucket}/{prefix}/"


def to_postgres(uri: str, kind: str, count: int) -> str:
    """Write rows to a table named like their kind; return its name."""
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        columns = sql.SQL(", ").join(
            sql.SQL("{} text").format(sql.Identifier(name)) for name in COLUMNS[kind]
        )
        table = sql.Identifier(kind)
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
        copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)
        for batch in batches(kind, count):
            text = io.BytesIO()
            pa_csv.write_csv(batch, text, pa_csv.WriteOptions(include_header=False))
            text.seek(0)
            cursor.copy_expert(copy, text)
        connection.commit()
        connection.autocommit = True
        # Otherwise the first side that reads would write the hint bits of all rows.
        cursor.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
    return kind


def to_sqlite(path: Path, kind: str, count: int) -> str:
    """Write rows to a table named like their kind; return its name."""
    names = ", ".join(COLUMNS[kind])
    values = ", ".join("?" for _ in COLUMNS[kind])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {kind} ({names})")
        for batch in batches(kind, count):
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            connection.executemany(f"INSERT INTO {kind} VALUES ({values})", rows)
    return kind


def to_duckdb(path: Path, kind: str, count: int) -> str:
    """Write rows to a table named like their kind; return its name."""
    import duckdb

    with duckdb.connect(str(path)) as connection:
        for number, batch in enumerate(batches(kind, count)):
            connection.register("batch", pa.Table.from_batches([batch]))
            begin = f"CREATE TABLE {kind} AS" if number == 0 else f"INSERT INTO {kind}"
            connection.execute(f"{begin} SELECT * FROM batch")
    return kind


def to_mysql(port: int, kind: str, count: int) -> str:
    """Write rows to a table named like their kind; return its name."""
    import MySQLdb

    names = ", ".join(f"{name} varchar(200)" for name in COLUMNS[kind])
    values = ", ".join("%s" for _ in COLUMNS[kind])
    where = {"host": "127.0.0.1", "port": port, "user": "root", "charset": "utf8mb4"}
    with closing(MySQLdb.connect(**where)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS crm CHARACTER SET utf8mb4")
        cursor.execute("USE crm")
        cursor.execute(f"CREATE TABLE {kind} ({names})")
        for batch in batches(kind, count):
            rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            cursor.executemany(f"INSERT INTO {kind} VALUES ({values})", rows)
            connection.commit()
    return kind
