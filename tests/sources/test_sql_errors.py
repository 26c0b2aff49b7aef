"""What databases say of an error quotes rows, and so do the logs that show it: neither may."""

from __future__ import annotations

import importlib
import json
import sqlite3
import traceback
from contextlib import closing
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import pyarrow as pa
import pytest
from airflow.sdk import BaseHook

from airflow_am_provider.airflow_compat import AirflowException
from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.sources.sql import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres

JANE = "jane.zwick@example.com"
# Without a mark that tells an address or a number: a name, which only its place tells from a word.
NAMES = ("Jane", "zwick", "example", "8412773")
DRIVERS = [importlib.import_module(name) for name in ("psycopg", "psycopg2") if find_spec(name)]
REST = ". The rest of its words is left out, as it may quote rows; run the query by hand to see it"


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def crm(request: pytest.FixtureRequest, postgres: Postgres) -> DbApiHook:
    driver = request.param
    return cast("DbApiHook", SimpleNamespace(get_conn=lambda: driver.connect(postgres.uri())))


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    path = tmp_path / "crm.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (email, raw)")
        connection.execute("INSERT INTO users VALUES (?, CAST(x'4a616e65ff' AS TEXT))", [JANE])
        connection.commit()
    monkeypatch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return BaseHook.get_hook("lite")


def test_a_database_that_is_away_is_told_by_its_connection_and_what_to_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = f"postgres://ann:{JANE.replace('@', '%40')}@127.0.0.1:1/crm"
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", uri)
    with pytest.raises(TransientError) as caught:
        list(read_sql(BaseHook.get_hook("away"), "SELECT 1"))
    assert str(caught.value) == (
        "connection 'away': its database cannot be reached (OperationalError: Connection refused). "
        "Does it run, is there a way to it from this worker, and are host, port, schema, login and "
        "password of the connection right? The rest of the driver's words is left out, as it may "
        "hold secrets"
    )


@pytest.fixture
def functions(postgres: Postgres) -> None:
    """What a company's own SQL does: checks that raise, asserts, names made of values."""
    bodies = {
        "raising": "RAISE 'no consent of Jane (%)', v",
        "raising_own": "RAISE SQLSTATE 'CRM01' USING MESSAGE = v, DETAIL = v, HINT = v",
        "as_if_missing": "RAISE undefined_column USING MESSAGE = 'column \"' || v || '\" is gone'",
        "asserting": "ASSERT v = '', v",
        "dynamic": "EXECUTE 'SELECT ' || quote_ident(v)",
        "dynamic_table": "EXECUTE 'SELECT 1 FROM ' || quote_ident(v)",
        "dynamic_syntax": "EXECUTE 'SELECT ,' || v",
    }
    with closing(psycopg2.connect(postgres.uri())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, body in bodies.items():
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {name}(v text) RETURNS text LANGUAGE plpgsql AS "
                    f"$body$ BEGIN {body}; RETURN v; END $body$"
                )


def failure(hook: DbApiHook, sql: str, parameters: Any = None) -> AudienceManagerError:
    """The error, whose message and whose traceback in the task's log hold nothing of the rows."""
    with pytest.raises(AirflowException) as caught, airflow_errors():
        list(read_sql(hook, sql, parameters))
    logged = "".join(traceback.format_exception(caught.value))
    # Lines of source are shown, too, and the tests' own hold the names.
    logged = "".join(line for line in logged.splitlines() if not line.startswith("    "))
    for said in (logged, str(caught.value), repr(caught.value.__cause__)):
        assert not [name for name in (JANE, *NAMES) if name.lower() in said.lower()]
    error = caught.value.__cause__
    assert isinstance(error, AudienceManagerError)
    assert str(error).endswith(REST)
    return error


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize("is_copied", [True, False], ids=["copied", "fetched"])
@pytest.mark.parametrize(
    ("expression", "kind", "shown"),
    [
        ("raising(email)", TransientError, ("RaiseException", "RaiseError", "P0001")),
        ("raising_own(email)", TransientError, ("CRM01",)),
        ("as_if_missing(email)", ConfigurationError, ("42703",)),
        ("asserting(email)", TransientError, ("P0004",)),
        ("dynamic(email)", ConfigurationError, ("42703", "does not exist")),
        ("dynamic_table(email)", TransientError, ("42P01", "does not exist")),
        ("dynamic_syntax('Jane Zwick')", ConfigurationError, ("SQLSTATE 42",)),
        ("email::int::text", DataError, ("22P02",)),
        ("email::regclass::text", None, ()),
        ("('\"' || email || '\"')::regclass::text", TransientError, ("42P01",)),
        ("email::json ->> 'a'", DataError, ("22P02",)),
        ("set_config(email || '.x y', email, true)", None, ()),
        ("has_table_privilege(email, 'select')::text", None, ()),
    ],
)
def test_postgresql_quotes_no_row(
    crm: DbApiHook, expression: str, kind: type | None, shown: tuple[str, ...], is_copied: bool
) -> None:
    more = "" if is_copied else ", true AS flag"
    sql = f"SELECT {expression} AS id{more} FROM (VALUES ('{JANE}')) AS v(email)"
    error = failure(crm, sql)
    if kind is not None:
        assert type(error) is kind
        assert any(words in str(error) for words in shown)


@pytest.mark.parametrize(
    ("sql", "kind", "shown"),
    [
        ("SELECT birthday AS id FROM pg_class", ConfigurationError,
         "42703): does not exist, 'birthday'."),
        ("SELECT 1 AS id FROM crm.users", TransientError, "42P01): does not exist, 'crm.users'."),
        ("SELECT 1 AS id FROM pg_class WHERRE relname = 'x'", ConfigurationError,
         "42601): syntax error, 'relname'."),
        ("SELECT relname AS id FROM pg_class a, pg_class b", ConfigurationError,
         "42702): ambiguous, 'relname'."),
        ("SELECT nofun(relname) AS id FROM pg_class", ConfigurationError,
         "42883): does not exist."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_query_is_said_by_its_own_names(
    crm: DbApiHook, sql: str, kind: type, shown: str
) -> None:
    error = failure(crm, sql)
    assert type(error) is kind
    assert shown in str(error)


def test_values_that_are_bound_are_not_shown(crm: DbApiHook) -> None:
    sql = "SELECT relname AS id FROM pg_class WHERE relname = %(who)s AND"
    assert "42601): syntax error" in str(failure(crm, sql, {"who": JANE}))


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("json_extract(email, '$.a')", "OperationalError (SQLITE_ERROR): malformed JSON"),
        ("json_extract('{}', email)", "OperationalError (SQLITE_ERROR)"),
        ("raw", "OperationalError: Could not decode to UTF-8, 'id'"),
        ("birthday", "OperationalError (SQLITE_ERROR): no such column, 'birthday'"),
        ("nofun(email)", "OperationalError (SQLITE_ERROR): no such function, 'nofun'"),
    ],
)
def test_sqlite_quotes_no_row(lite: DbApiHook, expression: str, shown: str) -> None:
    error = failure(lite, f"SELECT {expression} AS id FROM users")
    assert f"rows: {shown}" in str(error)


@pytest.mark.parametrize(
    ("expression", "kind", "shown"),
    [
        ("email::INT", DataError, "value: ConversionException: 'email'."),
        ("email::DATE", DataError, "value: ConversionException: 'email', 'DATE'."),
        ("error('no consent: ' || email)", TransientError, "rows: InvalidInputException."),
        ("email->>'$.a'", TransientError, "rows: InvalidInputException"),
        ("email::JSON", DataError, "value: ConversionException"),
        ("strptime(email, '%Y')::VARCHAR", TransientError, "rows: InvalidInputException"),
        ("birthday", TransientError, "rows: BinderException: not found in FROM clause, 'birthday'"),
    ],
)
def test_duckdb_quotes_no_row(tmp_path: Path, expression: str, kind: type, shown: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not among the servers of the tests")
    path = tmp_path / "in.csv"
    path.write_text(f"email,n\n{JANE},1\n", encoding="utf-8")
    hook = cast("DbApiHook", SimpleNamespace(get_conn=duckdb.connect))
    error = failure(hook, f"SELECT {expression} AS id FROM read_csv('{path}')")
    assert type(error) is kind
    assert shown in str(error)


def test_duckdb_quotes_no_line_of_a_file_it_reads(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not among the servers of the tests")
    path = tmp_path / "in.csv"
    path.write_text("id,n\n" + "1,2\n" * 30_000 + f"1,{JANE}\n", encoding="utf-8")
    hook = cast("DbApiHook", SimpleNamespace(get_conn=duckdb.connect))
    failure(hook, f"SELECT n AS id FROM '{path}'")
    headless = tmp_path / "headless.csv"
    headless.write_text(f"{JANE},8412773\n", encoding="utf-8")
    failure(hook, f"SELECT customer AS id FROM '{headless}'")


def test_an_error_in_closing_brings_no_row_along(lite: DbApiHook) -> None:
    """It has the error before it in its context, and logs show that as well."""
    get_conn: Callable[[], Any] = lite.get_conn

    class Closing:
        def __init__(self) -> None:
            self.connection = get_conn()

        def cursor(self) -> Any:
            return self.connection.cursor()

        def close(self) -> None:
            self.connection.close()
            raise sqlite3.ProgrammingError(f"still reading {JANE}")

    lite.get_conn = Closing
    failure(lite, "SELECT json_extract(email, '$.a') AS id FROM users")


def test_what_arrow_says_of_a_value_is_left_out() -> None:
    with pytest.raises(AirflowException) as caught, airflow_errors():
        pa.array([JANE]).cast(pa.int32())
    logged = "".join(traceback.format_exception(caught.value))
    assert JANE not in logged
    assert "Arrow could not do something with the rows: ArrowInvalid." in str(caught.value)
