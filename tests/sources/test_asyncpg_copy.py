"""When asyncpg reads beside a hook's own connection, and when that is left alone."""

from __future__ import annotations

import importlib
from contextlib import closing
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_am_provider.sources import asyncpg_copy, postgres_copy
from airflow_am_provider.sources.asyncpg_copy import server_of
from airflow_am_provider.sources.query_window import QueryWindow, Zone
from airflow_am_provider.sources.sql import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.local.postgres import Postgres

DRIVERS = [importlib.import_module(name) for name in ("psycopg", "psycopg2") if find_spec(name)]
MANY_ROWS = "SELECT n::text AS id, repeat('x', 99) AS pad FROM generate_series(1, 200000) n"


class TenantHook(PostgresHook):
    """One of a user's own."""


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def driver(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def hook(driver: Any, postgres: Postgres) -> PostgresHook:
    return hook_for(PostgresHook, lambda: driver.connect(postgres.uri()))


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked for the rows, in order."""
    found: list[str] = []

    def noted(module: Any, function: str, name: str) -> None:
        original = getattr(module, function)

        def note(*arguments: Any) -> Any:
            found.append(name)
            return original(*arguments)

        monkeypatch.setattr(module, function, note)

    noted(asyncpg_copy, "copied_blocks", "asyncpg")
    noted(postgres_copy, "_blocks_by_psycopg", "psycopg")
    noted(postgres_copy, "_blocks_by_psycopg2", "psycopg2")
    return found


def hook_for(kind: type[PostgresHook], get_conn: Callable[[], Any]) -> PostgresHook:
    hook = kind()
    hook.get_conn = get_conn  # type: ignore[method-assign]
    return hook


def first_column(hook: PostgresHook, sql: str) -> list[bytes]:
    return [value for batch in read_sql(hook, sql) for value in batch.column(0).to_pylist()]


def administer(postgres: Postgres, *statements: str) -> None:
    with closing(psycopg2.connect(postgres.uri())) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def test_a_version_that_is_not_known_leaves_it_to_the_driver(
    hook: PostgresHook, tries: list[str], monkeypatch: pytest.MonkeyPatch, driver: Any
) -> None:
    monkeypatch.setattr(asyncpg_copy, "_transport_of", lambda _: None)
    assert len(first_column(hook, MANY_ROWS)) == 200_000
    assert tries == ["asyncpg", driver.__name__]


def test_the_zone_of_the_window_is_taken_over(
    driver: Any, postgres: Postgres, tries: list[str]
) -> None:
    tokyo = "-c timezone=Asia/Tokyo"
    hook = hook_for(PostgresHook, lambda: driver.connect(postgres.uri(), options=tokyo))
    window = QueryWindow(zone=Zone(name="America/New_York"), values={})
    (batch,) = read_sql(hook, "SELECT current_setting('TimeZone') AS zone", window=window)
    assert batch.column(0).to_pylist() == [b"America/New_York"]
    assert tries == ["asyncpg"]


def test_the_rows_come_by_asyncpg_and_the_first_connection_is_given_back(
    driver: Any, postgres: Postgres, tries: list[str]
) -> None:
    opened: list[Any] = []

    def get_conn() -> Any:
        opened.append(driver.connect(postgres.uri()))
        return opened[-1]

    rows = read_sql(hook_for(PostgresHook, get_conn), MANY_ROWS)
    next(rows)
    assert [bool(connection.closed) for connection in opened] == [True]
    rows.close()
    assert tries == ["asyncpg"]


def test_settings_of_the_connection_hold_for_asyncpg_too(
    driver: Any, postgres: Postgres, tries: list[str]
) -> None:
    uri = (
        f"{postgres.uri()}?options=-cTimeZone%3DAsia/Tokyo%20-csearch_path%3Dtenant"
        "&application_name=night's"
    )
    hook = hook_for(PostgresHook, lambda: driver.connect(uri))
    asked = ("TimeZone", "search_path", "application_name")
    columns = ", ".join(f"current_setting('{name}') AS \"{name}\"" for name in asked)
    (batch,) = read_sql(hook, f"SELECT {columns}")
    assert batch.to_pylist() == [
        {"TimeZone": b"Asia/Tokyo", "search_path": b"tenant", "application_name": b"night's"}
    ]
    assert tries == ["asyncpg"]


@pytest.mark.parametrize(
    "statement",
    ["SET search_path TO pg_catalog", "SET ROLE reader", "SET SESSION AUTHORIZATION reader"],
)
def test_what_was_set_since_leaves_it_to_the_driver(
    driver: Any, postgres: Postgres, tries: list[str], statement: str
) -> None:
    administer(postgres, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")

    def get_conn() -> Any:
        connection = driver.connect(postgres.uri())
        connection.cursor().execute(statement)
        connection.commit()
        return connection

    rows = first_column(hook_for(PostgresHook, get_conn), "SELECT current_user::text AS id")
    assert rows == [b"reader" if "reader" in statement else postgres.user.encode()]
    assert tries == [driver.__name__]


def test_another_hook_is_left_to_its_driver(
    driver: Any, postgres: Postgres, tries: list[str]
) -> None:
    hook = hook_for(TenantHook, lambda: driver.connect(postgres.uri()))
    assert first_column(hook, "SELECT 'a' AS id") == [b"a"]
    assert tries == [driver.__name__]


@pytest.mark.parametrize("driver_name", ["psycopg", "psycopg2"])
def test_what_is_encrypted_is_left_to_libpq(driver_name: str) -> None:
    encrypted = SimpleNamespace(ssl_in_use=True)
    connection = SimpleNamespace(info=encrypted, pgconn=encrypted)
    assert server_of(PostgresHook(), connection, driver_name) is None


def test_a_table_of_this_session_only_is_read_by_its_driver(
    driver: Any, postgres: Postgres, tries: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def get_conn() -> Any:
        connection = driver.connect(postgres.uri())
        connection.cursor().execute("CREATE TEMPORARY TABLE mine AS SELECT 'a'::text AS id")
        return connection

    with caplog.at_level("INFO"):
        assert first_column(hook_for(PostgresHook, get_conn), "SELECT id FROM mine") == [b"a"]
    assert tries == ["asyncpg", driver.__name__]
    assert f"asyncpg does not get at the rows (UndefinedTableError); {driver.__name__}" in (
        caplog.text
    )


@pytest.fixture
def lonely_uri(postgres: Postgres) -> str:
    """As whom one connection at a time may be made, by password."""
    administer(
        postgres,
        "DROP ROLE IF EXISTS lonely",
        "CREATE ROLE lonely LOGIN PASSWORD 'planted-secret' CONNECTION LIMIT 1",
    )
    return f"postgresql://lonely:planted-secret@127.0.0.1:{postgres.port}/postgres"


def test_where_no_second_connection_is_to_be_had_the_first_one_reads(
    driver: Any, lonely_uri: str, tries: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        rows = first_column(hook_for(PostgresHook, lambda: driver.connect(lonely_uri)), MANY_ROWS)
    assert len(rows) == 200_000
    assert tries == ["asyncpg", driver.__name__]
    assert "(TooManyConnectionsError)" in caplog.text
    assert "planted-secret" not in caplog.text


def test_a_server_does_not_show_its_password(driver: Any, lonely_uri: str) -> None:
    with closing(driver.connect(lonely_uri)) as connection:
        server = server_of(PostgresHook(), connection, driver.__name__)
    assert server is not None
    assert server.arguments["password"] == "planted-secret"
    assert "planted-secret" not in repr(server)


def test_a_server_that_knows_less_is_read_by_its_driver(
    hook: PostgresHook, driver: Any, tries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncpg_copy, "_OF_ITS_OWN", "SELECT %s FROM pg_catalog.unheard_of")
    assert first_column(hook, "SELECT 'a' AS id") == [b"a"]
    assert tries == [driver.__name__]
