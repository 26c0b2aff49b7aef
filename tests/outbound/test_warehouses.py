"""Databases of which nothing is known, such as DuckDB: rows in a transaction, or by its COPY."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.outbound.statements import Tables
from airflow_am_provider.outbound.table import load_by_copy, load_into_table, loaded_reports
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.outbound.senders import Sender

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not among the servers of the tests")

TABLES = Tables(rows="segments")
COPY = "INSERT INTO {table} BY NAME SELECT * FROM read_parquet('{url}')"


class Forgetful(DbApiHook):
    """DuckDB as its driver has it: each cursor is a connection, which no rollback reaches."""

    conn_name_attr = "duckdb_conn_id"
    _placeholder = "?"
    dialect_name = "duckdb"
    connection_extra = {}  # noqa: RUF012  # there is no connection

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def get_conn(self) -> Any:
        return duckdb.connect(self.path)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()


class Warehouse(Forgetful):
    """DuckDB as a database whose transactions are those of its connections (PEP 249)."""

    def get_conn(self) -> Any:
        return Connection(duckdb.connect(self.path))


class Connection:
    def __init__(self, connection: Any) -> None:
        self.begin, self.commit = connection.begin, connection.commit
        self.rollback, self.close = connection.rollback, connection.close
        self.cursor = lambda: connection


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb")


def versions(warehouse: Warehouse, *batches: str) -> dict[str, str]:
    """Which of some batches are loaded, each in which version."""
    reports = loaded_reports(warehouse, TABLES, batches)
    return {batch: report["version"] for batch, report in reports.items()}


def test_rows_go_into_any_database_that_can_roll_back(sender: Sender, warehouse: Warehouse) -> None:
    root = sender.send(0, "full", "A 1,2\nB x\n")
    load_into_table(sender.inbox, sender.batch(root), warehouse, TABLES)
    said = "SELECT user_id, segments, batch FROM segments"
    assert warehouse.rows(said) == [("A", "1,2", root)]
    sender.send(0, "full", "C 3\n")
    load_into_table(sender.inbox, sender.batch(root), warehouse, TABLES)
    assert warehouse.rows(said) == [("C", "3", root)]
    assert versions(warehouse, root, "other") == {root: sender.batch(root).version}


def test_a_load_that_breaks_leaves_nothing_there(sender: Sender, warehouse: Warehouse) -> None:
    root = sender.send(0, "full", "A 1\n" * 50_000, "B 3\n", md5="0" * 32)
    with pytest.raises(TransientError, match="not the checksum"):
        load_into_table(sender.inbox, sender.batch(root), warehouse, TABLES)
    assert warehouse.rows("SELECT * FROM segments_batches") == []


def test_a_table_that_cannot_take_the_file_is_told_without_a_row(
    sender: Sender, warehouse: Warehouse, stage: LocalFolder
) -> None:
    batch = sender.batch(sender.send(0, "full", "jane@example.com 1\n"))
    with pytest.raises(ConfigurationError, match="CatalogException: does not exist"):
        load_by_copy(sender.inbox, batch, stage, warehouse, TABLES, COPY)
    warehouse.rows("CREATE TABLE segments (user_id INTEGER, batch VARCHAR)")
    copy = COPY.replace("SELECT *", "SELECT user_id, batch")
    with pytest.raises(DataError) as caught:
        load_by_copy(sender.inbox, batch, stage, warehouse, TABLES, copy)
    assert "jane" not in str(caught.value)


def test_a_database_that_cannot_roll_back_is_refused(sender: Sender, tmp_path: Path) -> None:
    root = sender.send(0, "full", "A 1\n")
    hook = Forgetful(tmp_path / "warehouse.duckdb")
    with pytest.raises(ConfigurationError, match="would leave half a batch"):
        load_into_table(sender.inbox, sender.batch(root), hook, TABLES)
    assert hook.rows("SELECT * FROM segments_batches") == []


def test_a_current_table_is_kept_where_that_is_known(sender: Sender, warehouse: Warehouse) -> None:
    root = sender.send(0, "full", "A 1\n")
    tables = Tables(rows="segments", current="current_segments")
    with pytest.raises(ConfigurationError, match="make it a view of segments"):
        load_into_table(sender.inbox, sender.batch(root), warehouse, tables)


@pytest.fixture
def columns(warehouse: Warehouse) -> Warehouse:
    warehouse.rows(
        "CREATE TABLE segments (user_id VARCHAR, id_dpid BIGINT, segments BIGINT[], "
        "removed_segments BIGINT[], destination BIGINT, mode VARCHAR, batch_time TIMESTAMPTZ, "
        "batch VARCHAR)"
    )
    return warehouse


@pytest.fixture
def stage(tmp_path: Path) -> LocalFolder:
    return LocalFolder(str(tmp_path / "stage"))


def test_a_warehouse_takes_its_rows_from_parquet(
    sender: Sender, columns: Warehouse, stage: LocalFolder
) -> None:
    root = sender.send(0, "full", "A 1,2 3\nB x\n")
    for _ in range(2):  # a load that is made again replaces its own rows
        report = load_by_copy(sender.inbox, sender.batch(root), stage, columns, TABLES, COPY)
    assert (report.url, report.counts.lines_loaded, report.counts.lines_set_aside) == (
        "segments",
        1,
        1,
    )
    said = "SELECT user_id, segments, removed_segments, batch FROM segments"
    assert columns.rows(said) == [("A", [1, 2], [3], root)]
    assert versions(columns, root) == {root: sender.batch(root).version}


def test_rows_that_a_statement_leaves_out_are_missed(
    sender: Sender, columns: Warehouse, stage: LocalFolder
) -> None:
    root = sender.send(0, "full", "A 1\nB 2\n")
    with pytest.raises(TransientError, match="gave 1 rows, and its file has 2"):
        load_by_copy(
            sender.inbox, sender.batch(root), stage, columns, TABLES, f"{COPY} WHERE user_id = 'A'"
        )
    assert columns.rows("SELECT * FROM segments") == []
    assert versions(columns, root) == {}


def test_no_name_of_a_file_gets_out_of_its_quotes(
    sender: Sender, columns: Warehouse, tmp_path: Path
) -> None:
    root = sender.send(0, "full", "A 1\n")
    stage = LocalFolder(str(tmp_path / "it's"))
    with pytest.raises(DataError, match="do not go into a statement"):
        load_by_copy(sender.inbox, sender.batch(root), stage, columns, TABLES, COPY)
