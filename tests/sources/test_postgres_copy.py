"""PostgreSQL by COPY: the same values as by the cursor, by both drivers."""

from __future__ import annotations

import importlib
import re
import time
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.sources import driver_blocks as written_blocks
from airflow_am_provider.sources import postgres_copy
from airflow_am_provider.sources.query_window import QueryWindow, Zone
from airflow_am_provider.sources.running_queries import STOP_S
from airflow_am_provider.sources.sql import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres

# Airflow's older sets of packages have the older driver only.
DRIVERS = [importlib.import_module(name) for name in ("psycopg", "psycopg2") if find_spec(name)]
HOSTILE = "a\\tb\\nc\\r\\n\"quoted\", \\\\. \\\\N 'single' Ünï "


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def connect(request: pytest.FixtureRequest, postgres: Postgres) -> Callable[..., DbApiHook]:
    driver = request.param

    def hook(database: str = "postgres") -> DbApiHook:
        return cast(
            "DbApiHook", SimpleNamespace(get_conn=lambda: driver.connect(postgres.uri(database)))
        )

    return hook


@pytest.fixture
def crm(connect: Callable[..., DbApiHook]) -> DbApiHook:
    return connect()


def rows(hook: DbApiHook, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    return [
        tuple(row[name] for name in batch.schema.names)
        for batch in read_sql(hook, sql, parameters)
        for row in batch.to_pylist()
    ]


@contextmanager
def administrator(postgres: Postgres) -> Iterator[Any]:
    """A cursor whose statements hold at once."""
    with closing(psycopg2.connect(postgres.uri())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@pytest.fixture
def no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a query is not copied."""

    def fetch(*_: object) -> None:
        raise AssertionError("not copied")

    monkeypatch.setattr("airflow_am_provider.sources.sql._fetch_all", fetch)


@pytest.mark.usefixtures("no_cursor")
class TestWhatIsCopied:
    def test_no_value_is_not_an_empty_text(self, crm: DbApiHook) -> None:
        sql = "SELECT 'a', NULL::text, '' UNION ALL SELECT NULL, '', 'b'"
        (batch,) = read_sql(crm, sql)
        assert [column.to_pylist() for column in batch.columns] == [
            [b"a", None],
            [None, b""],
            [b"", b"b"],
        ]

    def test_rows_of_one_column_without_a_value_are_rows(self, crm: DbApiHook) -> None:
        found = rows(crm, "SELECT nullif(n, 2)::text AS id FROM generate_series(1, 3) n")
        assert found == [(b"1",), (None,), (b"3",)]

    def test_separators_quotes_and_escapes_are_text(self, crm: DbApiHook) -> None:
        found = rows(crm, f"SELECT E'{HOSTILE}' AS id".replace("'single'", "''single''"))
        assert found == [("a\tb\nc\r\n\"quoted\", \\. \\N 'single' Ünï ".encode(),)]
        assert rows(crm, r"SELECT '\.' AS id") == [(rb"\.",)]

    def test_numbers_and_uuids_are_their_digits(self, crm: DbApiHook) -> None:
        found = rows(
            crm,
            "SELECT 1::int2, 2::int4 AS b, 9223372036854775807::int8 AS c, 1.50::numeric AS d, "
            "'6D92078A-8246-4BA4-AE5B-76104861E7DC'::uuid AS e, 'x'::char(3) AS f",
        )
        texts = [b"1", b"2", b"9223372036854775807", b"1.50"]
        assert found == [(*texts, b"6d92078a-8246-4ba4-ae5b-76104861e7dc", b"x  ")]

    def test_parameters_percent_signs_semicolons_and_comments(self, crm: DbApiHook) -> None:
        value = "x'; DROP TABLE y --"
        sql = "SELECT %(id)s::text AS id WHERE 'ab' LIKE 'a%%' -- the end"
        assert rows(crm, sql, {"id": value}) == [(value.encode(),)]
        assert rows(crm, "SELECT 'a' AS id WHERE 'ab' LIKE 'a%';\n") == [(b"a",)]

    def test_no_rows_still_tell_the_columns(self, crm: DbApiHook) -> None:
        (batch,) = read_sql(crm, "SELECT 1 AS id, 'x' AS traits WHERE false")
        assert (batch.schema.names, batch.num_rows) == (["id", "traits"], 0)

    def test_columns_of_one_name_stay_two(self, crm: DbApiHook) -> None:
        (batch,) = read_sql(crm, "SELECT 1 AS id, 2 AS id")
        assert [column.to_pylist() for column in batch.columns] == [[b"1"], [b"2"]]

    def test_every_row_of_many_blocks_comes_once_and_in_order(self, crm: DbApiHook) -> None:
        sql = "SELECT n, repeat('x', n % 200) FROM generate_series(1, 200000) n ORDER BY n"
        batches = list(read_sql(crm, sql))
        assert len(batches) > 3
        numbers = [int(value) for batch in batches for value in batch.column(0).to_pylist()]
        assert numbers == list(range(1, 200_001))
        lengths = [len(value) for batch in batches for value in batch.column(1).to_pylist()]
        assert lengths == [n % 200 for n in numbers]

    def test_a_query_that_fails_on_the_way_fails(self, crm: DbApiHook) -> None:
        sql = "SELECT 1 / (n - 150000) AS id, repeat('x', 99) FROM generate_series(1, 200000) n"
        batches = read_sql(crm, sql)
        assert next(batches).num_rows > 0
        with pytest.raises(DataError, match=r"DivisionByZero(Error)? \(SQLSTATE 22012\)"):
            list(batches)

    def test_a_byte_order_mark_is_part_of_a_value(self, crm: DbApiHook) -> None:
        mark = "\ufeff".encode()
        found = rows(crm, r"SELECT U&'\FEFFu1' AS id UNION ALL SELECT U&'\FEFFu2'")
        assert found == [(mark + b"u1",), (mark + b"u2",)]
        assert rows(crm, r"SELECT U&'\FEFF' AS id") == [(mark,)]

    def test_a_comment_behind_the_semicolon(self, crm: DbApiHook) -> None:
        assert rows(crm, "SELECT 'a' AS id ; -- all; of it\n-- and more") == [(b"a",)]

    def test_what_the_hook_has_set_stays_set(self, crm: DbApiHook, postgres: Postgres) -> None:
        with administrator(postgres) as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS tenant")
            cursor.execute("CREATE TABLE IF NOT EXISTS tenant.whose AS SELECT 'tenant' AS id")
        connect = crm.get_conn

        def get_conn() -> Any:
            connection = connect()
            connection.cursor().execute("SET search_path TO tenant")
            return connection

        crm.get_conn = get_conn
        assert rows(crm, "SELECT id FROM whose") == [(b"tenant",)]

    def test_the_zone_of_the_window_goes_before_that_of_the_connection(
        self, connect: Callable[..., DbApiHook]
    ) -> None:
        hook = connect("postgres?options=-cTimeZone%3DAsia/Tokyo")
        sql = "SELECT current_setting('TimeZone') AS zone"
        assert rows(hook, sql) == [(b"Asia/Tokyo",)]
        window = QueryWindow(zone=Zone(name="America/New_York"), values={})
        (batch,) = read_sql(hook, sql, window=window)
        assert batch.column(0).to_pylist() == [b"America/New_York"]

    def test_rows_come_by_the_only_connection_of_the_hook(self, crm: DbApiHook) -> None:
        opened: list[Any] = []
        connect = crm.get_conn

        def get_conn() -> Any:
            opened.append(connect())
            return opened[-1]

        crm.get_conn = get_conn
        assert rows(crm, "SELECT 'a' AS id") == [(b"a",)]
        assert [bool(connection.closed) for connection in opened] == [True]

    def test_rows_come_in_the_same_order_every_time(
        self, crm: DbApiHook, postgres: Postgres
    ) -> None:
        with administrator(postgres) as cursor:
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS wide AS SELECT n::text AS id, repeat('x', 90) AS pad, "
                "(n % 100)::text AS t FROM generate_series(1, 300000) n"
            )
            cursor.execute("ALTER TABLE wide SET (parallel_workers = 4)")
        first, *others = (rows(crm, "SELECT id FROM wide WHERE t = '15'") for _ in range(3))
        assert len(first) == 3000
        assert all(other == first for other in others)

    def test_reading_may_stop_early(self, crm: DbApiHook, postgres: Postgres) -> None:
        sql = "SELECT generate_series(1, 100000000), repeat('x', 99) -- stopped early"
        batches = read_sql(crm, sql)
        assert next(batches).num_rows > 0
        begun = time.monotonic()
        batches.close()
        # The server was asked, and not hung up on.
        assert time.monotonic() - begun < STOP_S / 2
        left = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%%stopped early%%'"
        with administrator(postgres) as cursor:
            for _ in range(100):
                cursor.execute(left, ())
                if not (pids := cursor.fetchall()):
                    break
                cursor.execute("SELECT pg_sleep(0.1)")
        assert pids == []

    def test_a_database_in_another_encoding_gives_utf8(
        self, connect: Callable[..., DbApiHook], postgres: Postgres
    ) -> None:
        with administrator(postgres) as cursor:
            cursor.execute("DROP DATABASE IF EXISTS latin")
            cursor.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        hook = connect("latin?options=-cclient_encoding%3DLATIN1")
        assert rows(hook, "SELECT chr(252) AS id") == [("ü".encode(),)]


def test_types_that_drivers_print_otherwise_are_fetched(crm: DbApiHook) -> None:
    (row,) = rows(crm, "SELECT true AS flag, ARRAY[1, 2] AS traits, 'a' AS id")
    assert row == (True, [1, 2], "a")


def test_the_words_of_the_database_about_a_value_are_left_out(crm: DbApiHook) -> None:
    for more in ("", ", true AS flag"):
        with pytest.raises(DataError) as caught:
            rows(crm, f"SELECT t::int AS id{more} FROM (VALUES ('jane@example.com')) v(t)")
        assert "jane" not in str(caught.value)
        assert re.search(r"InvalidTextRepresentation(Error)? \(SQLSTATE 22P02\)", str(caught.value))
        assert caught.value.__suppress_context__


def test_a_fallback_keeps_what_the_hook_has_set(
    crm: DbApiHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = crm.get_conn

    def get_conn() -> Any:
        connection = connect()
        connection.cursor().execute("SET application_name TO 'tenant'")
        return connection

    crm.get_conn = get_conn
    monkeypatch.setattr(postgres_copy, "_copy", lambda query: b"COPIER " + query.encode())
    assert rows(crm, "SELECT current_setting('application_name') AS id") == [("tenant",)]


def test_a_database_that_knows_no_encoding_hands_out_its_bytes(
    connect: Callable[..., DbApiHook], postgres: Postgres
) -> None:
    with administrator(postgres) as cursor:
        cursor.execute("DROP DATABASE IF EXISTS raw")
        cursor.execute("CREATE DATABASE raw ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    assert rows(connect("raw"), "SELECT 'a' AS id") in ([("a",)], [(b"a",)])


def test_numbers_read_the_same_by_copy_and_by_cursor(crm: DbApiHook) -> None:
    sql = "SELECT 0.0000001::numeric AS id, 1e20::numeric AS big"
    texts = [("0.0000001", "100000000000000000000")]
    assert [tuple(value.decode() for value in row) for row in rows(crm, sql)] == texts
    assert [row[:2] for row in rows(crm, f"{sql}, true AS flag")] == texts


def test_looking_at_the_columns_runs_nothing(crm: DbApiHook, postgres: Postgres) -> None:
    with administrator(postgres) as cursor:
        cursor.execute("CREATE SEQUENCE IF NOT EXISTS asked")
        cursor.execute("SELECT nextval('asked')")
        (before,) = cursor.fetchone()
        assert len(rows(crm, "SELECT nextval('asked') AS id")) == 1
        cursor.execute("SELECT nextval('asked')")
        assert cursor.fetchone() == (before + 2,)


def test_a_server_that_does_not_copy_is_asked_by_cursor(
    crm: DbApiHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_copy, "_copy", lambda query: b"COPIER " + query.encode())
    assert rows(crm, "SELECT 'a' AS id") == [("a",)]


def test_a_query_that_cannot_run_either_way_names_what_is_wrong(crm: DbApiHook) -> None:
    with pytest.raises(TransientError, match=re.escape("(SQLSTATE 42P01): does not exist, 'noth")):
        rows(crm, "SELECT * FROM nothing")


@given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(postgres: Postgres, texts: list[str | None]) -> None:
    for driver in DRIVERS:
        connect = partial(driver.connect, postgres.uri())
        hook = cast("DbApiHook", SimpleNamespace(get_conn=connect))
        sql = "SELECT t AS id FROM unnest(%(texts)s::text[]) WITH ORDINALITY u(t, n) ORDER BY n"
        found = rows(hook, sql, {"texts": texts})
        assert found == [(None if text is None else text.encode(),) for text in texts]


@pytest.mark.parametrize("parameter", ["sql", "suppression_sql"])
def test_a_row_that_cannot_be_held_is_refused(
    crm: DbApiHook, monkeypatch: pytest.MonkeyPatch, parameter: str
) -> None:
    monkeypatch.setattr(written_blocks, "_MOST_ROW_BYTES", 8_000_000)
    sql = "SELECT 'ann' AS id, repeat('x', 9000000) AS traits"
    with pytest.raises(DataError) as caught:
        list(read_sql(crm, sql, parameter=parameter))
    assert str(caught.value).startswith(f"{parameter}: a row of 9,000,00")
    assert "at most 8,000,000 are held. No line is longer than 102,400" in str(caught.value)
