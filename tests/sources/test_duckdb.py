"""Rows of DuckDB, by its columns where they read the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_am_provider.sources import duckdb_arrow
from airflow_am_provider.sources.sql import read_sql

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not among the servers of the tests")


@pytest.fixture
def duck(tmp_path: Any) -> DbApiHook:
    # The hook of DuckDB's provider does this and no more.
    path = str(tmp_path / "crm.duckdb")
    return cast("DbApiHook", SimpleNamespace(get_conn=lambda: duckdb.connect(path)))


def test_columns_come_in_batches(duck: DbApiHook) -> None:
    sql = "SELECT range AS n, 'ä' || range AS id, [range] AS traits FROM range(5000) WHERE n >= ?"
    batches = list(read_sql(duck, sql, [10], rows_per_fetch=2048))
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len(batches) > 2
    assert rows[0] == {"n": 10, "id": "ä10", "traits": [10]}
    assert [row["n"] for row in rows] == list(range(10, 5000))


def test_no_rows_still_tell_the_columns(duck: DbApiHook) -> None:
    batches = list(read_sql(duck, "SELECT 1 AS id, 'x' AS traits WHERE false"))
    assert batches[0].schema.names == ["id", "traits"]
    assert sum(batch.num_rows for batch in batches) == 0


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.0000001::DECIMAL(9, 7)", "0.0000001"),
        ("1.50::DECIMAL(9, 2)", "1.50"),
        ("1::HUGEINT", 1),
        ("sum(2)", 2),
        ("TIMESTAMPTZ '2026-11-05 00:00:00+02'", datetime(2026, 11, 4, 22, tzinfo=UTC)),
        ("'101'::BIT", "101"),
        ("DATE '2026-11-05'", date(2026, 11, 5)),
        ("NULL", None),
    ],
)
def test_values_are_those_of_the_driver(duck: DbApiHook, expression: str, value: object) -> None:
    rows = [
        row for batch in read_sql(duck, f"SELECT {expression} AS v") for row in batch.to_pylist()
    ]
    assert rows == [{"v": value}]


def test_a_version_without_columns_is_read_by_rows(
    duck: DbApiHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_arrow, "_READERS", ())
    (batch, _) = read_sql(duck, "SELECT 'ann' AS id")
    assert batch.to_pylist() == [{"id": "ann"}]
