"""What a user would take today: SqlToS3Operator of Airflow's amazon provider, on pandas."""

from __future__ import annotations

import csv
import gzip
from importlib import import_module
from typing import TYPE_CHECKING, cast

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.transfers.sql_to_s3 import SqlToS3Operator
from airflow.sdk import BaseHook

from benchmarks.readings import Outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from benchmarks.readings import Stopwatch

_BLOCK_BYTES = 1 << 20


def dump_query(stopwatch: Stopwatch, *, query: str, bucket: str, conn_id: str = "crm") -> Outcome:
    """A query's rows as tab-separated text, gzipped; no quotation marks are added or doubled."""
    for module in ("boto3.s3.transfer", "pandas"):
        import_module(module)
    BaseHook.get_hook(conn_id)
    operator = SqlToS3Operator(
        task_id="dump",
        query=query,
        sql_conn_id=conn_id,
        s3_bucket=bucket,
        s3_key="bench.csv",
        replace=True,
        file_format="csv",
        pd_kwargs={
            "sep": "\t",
            "header": False,
            "index": False,
            "quoting": csv.QUOTE_NONE,
            "compression": "gzip",
        },
    )
    with stopwatch:
        operator.execute(cast("Context", {}))
    return _count(bucket)


def _count(bucket: str) -> Outcome:
    rows = size = 0
    body = S3Hook().get_conn().get_object(Bucket=bucket, Key="bench.csv.gz")["Body"]
    with gzip.open(body) as text:
        while block := text.read(_BLOCK_BYTES):
            rows += block.count(b"\n")
            size += len(block)
    return Outcome(rows=rows, bytes=size)
