"""Parameters that do not fit a query's placeholders are the user's mistake: no retry mends them."""

from __future__ import annotations

import importlib
import re
import sqlite3
from datetime import UTC, date, datetime
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import duckdb
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.sources.parameter_errors import fitting
from airflow_am_provider.sources.query_window import QueryWindow, Zone
from airflow_am_provider.sources.sql import read_sql

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres

SECRET = "jane.zwick@example.com"
MENDED = "Mend the query or parameters"

# What is asked for by a place {0} or a name {a}, {b}; what is given; what of both is said.
MISFITS = [
    ("SELECT 1 AS id WHERE '1' = {0} AND '2' = {0}", [SECRET], "2 without a name", "1 value"),
    ("SELECT 1 AS id WHERE '1' = {0}", [SECRET, SECRET], "1 without a name", "2 values"),
    ("SELECT 1 AS id", [SECRET], "no placeholder", "1 value"),
    ("SELECT 1 AS id WHERE '1' = {0}", [object()], "1 without a name", "1 value"),
    ("SELECT 1 AS id WHERE '1' = {a} AND '2' = {b}", {"a": SECRET}, "'a', 'b'", "dict of 'a'"),
    ("SELECT 1 AS id WHERE '1' = {a}", {}, "placeholders 'a'", "an empty dict"),
    ("SELECT 1 AS id WHERE '1' = {0}", {"a": SECRET}, "1 without a name", "dict of 'a'"),
]


def _check(hook: Any, sql: str, parameters: Any, asked: str, given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(read_sql(cast("DbApiHook", hook), sql, parameters, parameter="rows.sql"))
    said = str(caught.value)
    assert said.startswith("rows.sql: its placeholders and parameters do not fit (")
    assert asked in said
    assert given in said
    assert "PEP 249" in said
    assert MENDED in said
    assert SECRET not in said


class Percent:
    """A connection that binds as MySQL's drivers do: by Python's ``%``."""

    def __init__(self) -> None:
        self.description = [("id", None)]

    def cursor(self) -> Percent:
        return self

    def execute(self, sql: str, parameters: Any = None) -> None:
        if isinstance(parameters, dict):
            sql % {name: repr(value) for name, value in parameters.items()}
        elif parameters is not None:
            sql % tuple(map(repr, parameters))

    def fetchmany(self, _: int) -> list[object]:
        return []

    def close(self) -> None:
        pass


def _written(sql: str, place: str, name: str) -> str:
    return re.sub(r"{([ab])}", lambda found: name.format(found[1]), sql.replace("{0}", place))


@pytest.mark.parametrize(("sql", "parameters", "asked", "given"), MISFITS)
class TestMisfits:
    @pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
    def test_of_postgresql(
        self, postgres: Postgres, driver: str, sql: str, parameters: Any, asked: str, given: str
    ) -> None:
        if not find_spec(driver):
            pytest.skip(f"{driver} is not installed")
        if driver == "psycopg2" and asked == "no placeholder":
            pytest.skip("psycopg2 passes over values where nothing asks for any")
        package = importlib.import_module(driver)
        hook = SimpleNamespace(get_conn=lambda: package.connect(postgres.uri()))
        _check(hook, _written(sql, "%s", "%({})s"), parameters, asked, given)

    def test_of_sqlite(self, sql: str, parameters: Any, asked: str, given: str) -> None:
        hook = SimpleNamespace(get_conn=lambda: sqlite3.connect(":memory:"))
        _check(hook, _written(sql, "?", ":{}"), parameters, asked, given)

    def test_of_duckdb(self, sql: str, parameters: Any, asked: str, given: str) -> None:
        hook = SimpleNamespace(get_conn=duckdb.connect)
        _check(hook, _written(sql, "?", "${}"), parameters, asked, given)

    def test_of_mysql(self, sql: str, parameters: Any, asked: str, given: str) -> None:
        hook = SimpleNamespace(get_conn=Percent)
        if parameters and not isinstance(parameters, dict) and parameters[0] is not SECRET:
            pytest.skip("MySQL's drivers take any value for text")
        if isinstance(parameters, dict) and "{0}" in sql:
            pytest.skip("Python takes the whole dict for the value")
        _check(hook, _written(sql, "%s", "%({})s"), parameters, asked, given)


def test_a_window_by_name_and_a_list_do_not_go_together() -> None:
    window = QueryWindow(zone=Zone(), values={"window_start": date(2026, 11, 1)})
    hook = SimpleNamespace(get_conn=lambda: sqlite3.connect(":memory:"))
    with pytest.raises(ConfigurationError, match="placeholders 'window_start' and 1 without"):
        list(
            read_sql(
                cast("DbApiHook", hook),
                "SELECT 1 AS id WHERE :window_start < '3' AND 'ios' = ?",
                ["ios"],
                window=window,
            )
        )


@pytest.mark.parametrize(
    "error",
    [KeyError("Content-Length"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), OSError(5)],
)
def test_what_is_no_misfit_goes_on_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), fitting("SELECT :a", {"a": datetime.now(UTC)}, "sql"):
        raise error


def test_a_query_that_fits_and_a_server_that_fails_are_told_apart() -> None:
    class Lost(Percent):
        def execute(self, sql: str, parameters: Any = None) -> None:
            raise ConnectionResetError("reset")

    with pytest.raises((TransientError, OSError)):
        list(read_sql(cast("DbApiHook", SimpleNamespace(get_conn=Lost)), "SELECT %s", ["a"]))
