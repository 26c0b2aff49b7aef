"""PostgreSQL's rows by COPY, compressed, to S3: what the server and the way cost by themselves."""

from __future__ import annotations

import select
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from airflow_am_provider.formatting.overlap import BackgroundWorker, prefetched
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from benchmarks.readings import Outcome
from benchmarks.sides.packing import Packed
from benchmarks.sides.product import load_what_execute_imports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.readings import Stopwatch

_BLOCK_BYTES = 4 << 20


def copy_query(stopwatch: Stopwatch, *, query: str, uri: str) -> Outcome:
    """A query's rows as COPY prints them, whatever that is.

    :param uri: of the database.
    """
    load_what_execute_imports("aws_default")
    rows = 0
    with stopwatch:
        folder = AudienceManagerHook().staging()
        with (
            psycopg.connect(uri) as connection,
            Packed(folder, "bench.gz") as part,
            closing(prefetched(_blocks(connection, query))) as blocks,
        ):
            worker: BackgroundWorker[bytearray] = BackgroundWorker(part.write)
            for count, block in blocks:
                rows += count
                worker.put(block)
            worker.close()
    return Outcome(rows=rows, bytes=part.bytes)


def _blocks(connection: psycopg.Connection, query: str) -> Iterator[tuple[int, bytearray]]:
    server = connection.pgconn
    server.exec_(f"COPY ({query}) TO STDOUT".encode())
    rows, block = 0, bytearray()
    while True:
        size, row = server.get_copy_data(1)
        if size > 0:
            block += row
            rows += 1
            if len(block) >= _BLOCK_BYTES:
                yield rows, block
                rows, block = 0, bytearray()
        elif size == 0:
            select.select([server.socket], [], [])
            server.consume_input()
        else:
            break
    while (result := server.get_result()) is not None:
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
    yield rows, block
