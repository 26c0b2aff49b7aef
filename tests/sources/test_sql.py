"""Streaming SQL from real databases."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from airflow.sdk import BaseHook

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.sql import _column, read_sql

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres


@pytest.fixture
def crm(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(postgres.airflow_connection()))
    return BaseHook.get_hook("crm")


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    path = tmp_path / "crm.sqlite"
    sqlite3.connect(path).close()
    monkeypatch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return BaseHook.get_hook("lite")


def test_rows_come_in_batches_of_the_size_asked_for(crm: DbApiHook) -> None:
    sql = "SELECT n, true AS flag FROM generate_series(1, 25) AS n"
    batches = list(read_sql(crm, sql, rows_per_fetch=10))
    assert [batch.num_rows for batch in batches if batch.num_rows] == [10, 10, 5]
    assert [row["n"] for batch in batches for row in batch.to_pylist()] == list(range(1, 26))


def test_no_rows_still_tell_the_columns(crm: DbApiHook) -> None:
    (batch,) = read_sql(crm, "SELECT 1 AS id, 'x' AS traits WHERE false")
    assert batch.schema.names == ["id", "traits"]
    assert batch.num_rows == 0


def test_parameters_are_bound_by_the_driver(crm: DbApiHook) -> None:
    batch = next(read_sql(crm, "SELECT %(id)s AS id", {"id": "x'; DROP TABLE y --"}))
    assert batch.column(0).to_pylist() == [b"x'; DROP TABLE y --"]


def test_percent_signs_need_no_doubling_without_parameters(crm: DbApiHook) -> None:
    batch = next(read_sql(crm, "SELECT 'a' AS id WHERE 'abc' LIKE 'a%'"))
    assert batch.column(0).to_pylist() == [b"a"]


def test_text_comes_as_it_is_in_the_database(crm: DbApiHook) -> None:
    sql = """
        SELECT ' Ünï ' AS text, 12345678901234567890::numeric AS number, 1.50::numeric AS exact,
               '6d92078a-8246-4ba4-ae5b-76104861e7dc'::uuid AS device, ARRAY[1, 2] AS traits,
               NULL::text AS nothing, true AS flag
    """
    (row,) = next(read_sql(crm, sql)).to_pylist()
    assert row == {
        "text": " Ünï ",
        "number": "12345678901234567890",
        "exact": "1.50",
        "device": "6d92078a-8246-4ba4-ae5b-76104861e7dc",
        "traits": [1, 2],
        "nothing": None,
        "flag": True,
    }


def test_sqlite_streams_mixed_types_as_text(lite: DbApiHook) -> None:
    sql = "SELECT 1 AS id UNION ALL SELECT 'two' UNION ALL SELECT NULL"
    assert next(read_sql(lite, sql)).column(0).to_pylist() == ["1", "two", None]


def test_bytes_among_other_types_stay_what_they_are(lite: DbApiHook) -> None:
    sql = "SELECT 1 AS id UNION ALL SELECT x'C3BC' UNION ALL SELECT x'FF'"
    found = next(read_sql(lite, sql)).column(0).to_pylist()
    assert found == [b"1", "ü".encode(), b"\xff"]


def test_whole_numbers_among_decimals_get_no_point() -> None:
    assert _column([3, Decimal("1.50"), None]).to_pylist() == ["3", "1.50", None]


def test_halves_of_characters_are_no_utf8_and_stop_nothing() -> None:
    assert _column(["ann", "b\udc80b"]).to_pylist() == [b"ann", b"b\xed\xb2\x80b"]


def test_a_moment_has_one_text_whatever_zone_the_row_before_had() -> None:
    winter = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    summer = datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=2)))
    behind, alone = (_column(rows).cast("string") for rows in ([winter, summer], [summer]))
    assert behind[1] == alone[0]
    assert alone[0].as_py() == "2026-06-30 22:00:00.000000Z"


def test_a_statement_without_rows_is_refused(lite: DbApiHook) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(read_sql(lite, "CREATE TABLE x (y int)"))
    assert str(caught.value) == "sql: the statement gives no rows; one SELECT is expected"


def test_memory_does_not_grow_with_the_number_of_rows(postgres: Postgres) -> None:
    def peak_mb(rows: int) -> float:
        script = f"""
            import json, os, resource
            os.environ["AIRFLOW_CONN_CRM"] = {json.dumps(postgres.airflow_connection())!r}
            from airflow.sdk import BaseHook
            from airflow_am_provider.sources.sql import read_sql
            sql = (
                "SELECT md5(n::text) AS id, repeat('x', 60) AS t "
                "FROM generate_series(1, {rows}) AS n"
            )
            read = sum(batch.num_rows for batch in read_sql(BaseHook.get_hook("crm"), sql))
            assert read == {rows}
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
        printed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True
        ).stdout
        return int(printed.split()[-1]) / 1024

    # 400,000 more rows would be some 60 MB more if they were held.
    assert peak_mb(500_000) - peak_mb(100_000) < 25
