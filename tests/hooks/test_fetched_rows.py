"""Rows of a cursor come in batches of bounded bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.sources.fetched_rows import fetched_columns

if TYPE_CHECKING:
    from demo.local.postgres import Postgres

MOST_MB = 512


class Cursor:
    """Hands out rows, and remembers how many it was asked for."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.asked: list[int] = []
        self._rows = iter(rows)

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        self.asked.append(count)
        return list(islice(self._rows, count))


def test_small_rows_are_fetched_by_more_and_more_and_batches_are_full() -> None:
    rows = [(number, "x") for number in range(2500)]
    cursor = Cursor(rows)
    batches = list(fetched_columns(cursor.fetchmany, 1000))
    assert [len(ids) for ids, _ in batches] == [1000, 1000, 500]
    assert [number for ids, _ in batches for number in ids] == list(range(2500))
    assert cursor.asked[:7] == [4, 8, 16, 32, 64, 128, 128]


def test_after_large_rows_few_are_fetched() -> None:
    megabytes = [(number, "x" * 200_000) for number in range(400)]
    cursor = Cursor([(number, "x") for number in range(500)] + megabytes)
    batches = list(fetched_columns(cursor.fetchmany, 10_000))
    assert max(cursor.asked) == 128
    assert set(cursor.asked[-4:]) == {83}
    assert sum(len(ids) for ids, _ in batches) == 900
    assert max(sum(map(len, texts)) for _, texts in batches) < 9_000_000


def test_no_rows_are_no_batch() -> None:
    assert list(fetched_columns(Cursor([]).fetchmany, 10)) == []


LARGE = "ARRAY[repeat('1', 300000)]"
LARGE_LATE = "CASE WHEN n <= 700 THEN ARRAY['1'] ELSE ARRAY[repeat('1', 1000000)] END"
TEXTS = "repeat('1', 20000000)"


@pytest.mark.parametrize(
    ("traits", "rows", "good"), [(LARGE, 1000, 0), (LARGE_LATE, 900, 700), (TEXTS, 8, 0)]
)
def test_large_rows_are_set_aside_in_bounded_memory(
    postgres: Postgres, traits: str, rows: int, good: int
) -> None:
    sql = f"SELECT n::text AS id, {traits} AS traits FROM generate_series(1, {rows}) AS n"
    done = subprocess.run(
        [sys.executable, "-m", "tests.hooks.large_rows_peak", sql],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "AIRFLOW_CONN_CRM": json.dumps(postgres.airflow_connection())},
        text=True,
    )
    written, reasons, peak = json.loads(done.stdout.splitlines()[-1])
    assert reasons == {"line_too_long": rows - good}
    assert written == good
    assert peak < MOST_MB
