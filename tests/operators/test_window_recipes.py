"""Windows in queries: the recipes of ``docs/windows.md``, whatever zone a session begins in."""

from __future__ import annotations

import ast
import logging
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators._asked_window import query_window
from airflow_am_provider.operators._window import window_of
from airflow_am_provider.sources.query_window import QueryWindow, Zone
from airflow_am_provider.sources.sql import read_sql
from demo import crm
from tests.docs_pages import ROOT, blocks, codes, page, rows, section
from tests.own_log import own_messages
from tests.window_databases import (
    ZONES,
    Database,
    DuckDatabase,
    MysqlDatabase,
    PostgresDatabase,
    SqliteDatabase,
    mysql_drivers,
    postgres_drivers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.local.postgres import Postgres

TOKYO = ZoneInfo("Asia/Tokyo")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MYSQL = mysql_drivers()
KINDS = [
    *postgres_drivers(),
    "sqlite",
    "duckdb",
    *MYSQL,
]
# Rows of a day in the demo's tables.
SEEDED = {20_000, 16_000, 9_000, 8_000, 4_000}
DAY = ("2026-11-25", "2026-11-26")
HOUR = ("2026-11-25T10:00", "2026-11-25T11:00")


POSTGRES = [kind for kind in KINDS if kind.startswith("psycopg")]
on_postgres = pytest.mark.parametrize("database", POSTGRES, indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
with_sessions = pytest.mark.parametrize("database", [*POSTGRES, "duckdb", *MYSQL], indirect=True)
# Nobody has loaded zones into MySQL's server.
with_named_zones = pytest.mark.parametrize(
    "database", [*POSTGRES, "sqlite", "duckdb"], indirect=True
)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Database:
    kind: str = request.param
    if kind == "sqlite":
        return SqliteDatabase(tmp_path)
    if kind == "duckdb":
        return DuckDatabase(tmp_path)
    if kind in MYSQL:
        return MysqlDatabase(kind, request.getfixturevalue("mysql_port"))
    return PostgresDatabase(kind, postgres)


@pytest.fixture(params=ZONES)
def zone(
    request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where the session begins, or the worker's own where the database has no zones."""
    with database.worker_in(request.param, monkeypatch):
        yield request.param


def clock(form: str, zone: Any = None) -> Callable[[datetime, Any], object]:
    """Moments as text: the clock time in a zone, by default that of the window."""
    return lambda moment, own: f"{moment.astimezone(zone or own):{form}}"


def iso(zone: Any) -> Callable[[datetime, Any], object]:
    return lambda moment, _: moment.astimezone(zone).isoformat()


def seconds(moment: datetime, _: object) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


WITHOUT_ZONE = clock("%Y-%m-%d %H:%M:%S.%f")
WITHOUT_FRACTION = clock("%Y-%m-%d %H:%M:%S")
DAYS = clock("%Y-%m-%d")
IN_TOKYO = clock("%Y-%m-%d %H:%M:%S.%f", TOKYO)
MIXED_FORMS = [
    iso(UTC),
    clock("%Y-%m-%d %H:%M:%S", UTC),
    clock("%Y-%m-%dT%H:%M:%SZ", UTC),
    iso(TOKYO),
]

# What each row of the tables says that its column holds, made of moments.
FORMS: dict[str, list[Callable[[datetime, Any], object]]] = {
    "moments": [lambda moment, _: moment],
    "clock times in `window_timezone`": [WITHOUT_ZONE],
    "clock times in another zone": [IN_TOKYO],
    "days": [DAYS],
    "days, `2026-11-25`": [DAYS],
    "times in ISO 8601, with a zone or in `window_timezone`": [iso(TOKYO), WITHOUT_ZONE],
    "times in ISO 8601 without a zone, in `window_timezone`": [
        clock("%Y-%m-%dT%H:%M:%S"),
        WITHOUT_ZONE,
    ],
    "`2026-11-25 10:00:00` in `window_timezone`": [WITHOUT_FRACTION, WITHOUT_ZONE],
    "`2026-11-25T10:00:00` in `window_timezone`": [
        clock("%Y-%m-%dT%H:%M:%S"),
        clock("%Y-%m-%dT%H:%M:%S.%f"),
    ],
    "`2026-11-25T10:00:00Z`; `window_timezone` is UTC": [
        clock("%Y-%m-%dT%H:%M:%SZ"),
        clock("%Y-%m-%dT%H:%M:%S.%fZ"),
    ],
    "one form or another, also with `+01:00`; `window_timezone` is UTC": MIXED_FORMS,
    "seconds since 1970": [seconds],
    "seconds since 1970; `window_timezone` is UTC": [seconds],
}


def people(start: datetime, end: datetime) -> list[tuple[str, datetime]]:
    """Rows at both ends of a window, and a day to each side."""
    second = timedelta(seconds=1)
    return [
        ("day before", start - timedelta(days=1)),
        ("before", start - second),
        ("first", start),
        ("inside", start + (end - start) / 2),
        ("last", end - second),
        ("after", end),
        ("hours after", end + timedelta(hours=10)),
        ("day after", end + timedelta(days=1)),
    ]


def found(database: Database, zone: str, sql: str, span: Any, name: str = "UTC") -> list[str]:
    chosen = Zone.parse("window_timezone", name)
    window = window_of({}, *span, zone=chosen)
    batches = read_sql(database.hook(zone), sql, None, window=query_window(sql, None, window))
    labels = [value for batch in batches for value in batch.column(0).to_pylist()]
    return sorted(label.decode() if isinstance(label, bytes) else label for label in labels)


def recipes(database: Database) -> list[dict[str, str]]:
    return rows(section(page("windows.md"), f"### {database.name}"), "column")


def queries(database: Database, condition: str) -> list[str]:
    sql = f"SELECT label FROM people WHERE {condition}"
    # PostgreSQL's rows come by COPY, and by a cursor where COPY would print a value otherwise.
    is_postgres = isinstance(database, PostgresDatabase)
    return [sql, sql.replace("label", "label, ARRAY[1]")] if is_postgres else [sql]


def test_every_kind_of_column_is_tried() -> None:
    assert {row["holds"] for row in rows(page("windows.md"), "column")} == set(FORMS)


@pytest.mark.parametrize("span", [DAY, HOUR], ids=["day", "hour"])
def test_a_recipe_sends_the_rows_of_its_window_and_no_others(
    database: Database, zone: str, span: tuple[str, str]
) -> None:
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in span)
    for recipe in recipes(database):
        ((kind,), (condition,)) = codes(recipe["column"]), codes(recipe["condition"])
        if "_date" in condition and span == HOUR:
            continue
        for form in FORMS[recipe["holds"]]:
            values = [(label, form(moment, UTC)) for label, moment in people(start, end)]
            database.make_table(kind, values)
            for sql in queries(database, condition):
                labels = found(database, zone, sql, span)
                assert labels == ["first", "inside", "last"], (kind, recipe["holds"], sql, values)


@with_named_zones
def test_a_recipe_sends_the_day_of_the_zone_that_is_named(database: Database, zone: str) -> None:
    # The clocks are put back on this day: it has 25 hours.
    span, berlin = ("2026-10-25", "2026-10-26"), ZoneInfo("Europe/Berlin")
    start, end = (
        datetime.fromisoformat(text).replace(tzinfo=berlin).astimezone(UTC) for text in span
    )
    assert end - start == timedelta(hours=25)
    for recipe in recipes(database):
        if "is UTC" in recipe["holds"]:
            continue
        ((kind,), (condition,)) = codes(recipe["column"]), codes(recipe["condition"])
        for form in FORMS[recipe["holds"]]:
            values = [(label, form(moment, berlin)) for label, moment in people(start, end)]
            database.make_table(kind, values)
            for sql in queries(database, condition):
                labels = found(database, zone, sql, span, "Europe/Berlin")
                assert labels == ["first", "inside", "last"], (kind, recipe["holds"], sql, values)


@on_postgres
def test_the_query_of_the_readme_sends_the_day_it_says(database: Database, zone: str) -> None:
    snippet = blocks((ROOT / "README.md").read_text())[0].text
    (sql,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(snippet).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "sql"
    ]
    with closing(database.connect("UTC")) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("DROP TABLE IF EXISTS changes")
        cursor.execute("CREATE TABLE changes (customer_id text, traits text, day date)")
        for day in ("2026-11-24", "2026-11-25", "2026-11-26"):
            cursor.execute("INSERT INTO changes VALUES (%s, '1', %s)", [day, day])
        connection.commit()
    assert found(database, zone, sql, DAY) == ["2026-11-25"]


def test_the_example_dags_send_the_day_they_say(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # What libpq begins sessions with, by the demo as well.
        patch.setenv("PGTZ", "Pacific/Kiritimati")
        name = crm.seed(postgres)
    queries = {
        node.value
        for path in (ROOT / "dags").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and "%(window_start)s" in str(node.value)
    }
    assert len(queries) == 6
    day = crm.DAYS[0]
    window = window_of({}, str(day), str(day + timedelta(days=1)))
    own = {"platform": "gaid"}
    for sql in queries:
        rows_of_day = {}
        for zone in ZONES:
            options = f"-c timezone={zone}"
            hook: Any = SimpleNamespace(
                get_conn=lambda options=options: psycopg2.connect(
                    postgres.uri(name), options=options
                )
            )
            asked = query_window(sql, own, window)
            batches = read_sql(hook, sql, own, window=asked)
            rows_of_day[zone] = sum(batch.num_rows for batch in batches)
        assert set(rows_of_day.values()) <= SEEDED, (sql, rows_of_day)
        assert len(set(rows_of_day.values())) == 1, (sql, rows_of_day)


@on_postgres
@pytest.mark.parametrize(
    "condition",
    [
        "changed_at = %(window_start)s::timestamptz::date",
        "changed_at >= %(window_start)s AND changed_at < %(window_end)s",
        "changed_at::timestamptz >= '2026-11-25' AND changed_at::timestamptz < '2026-11-26'",
    ],
)
def test_casts_and_literals_are_read_in_the_zone_of_the_window(
    database: Database, zone: str, condition: str
) -> None:
    database.make_table("date", [(day, day) for day in ("2026-11-24", "2026-11-25", "2026-11-26")])
    for sql in queries(database, condition):
        assert found(database, zone, sql, DAY) == ["2026-11-25"]


@on_sqlite
@pytest.mark.parametrize("form", [DAYS, *MIXED_FORMS[:3], WITHOUT_ZONE])
def test_where_a_day_begins_the_window_compares_with_every_form_of_text(
    database: Database, form: Callable[[datetime, Any], object]
) -> None:
    start, end = datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
    database.make_table("text", [(label, form(at, UTC)) for label, at in people(start, end)])
    sql = "SELECT label FROM people WHERE changed_at >= :window_start AND changed_at < :window_end"
    assert found(database, "UTC", sql, DAY) == ["first", "inside", "last"]


@on_sqlite
@pytest.mark.parametrize(
    ("asks", "message"),
    [
        (":window_start", "sql: compares window_start with text, and 2026-11-25T10:00:00+00:00 is"),
        ("date(:window_start)", "sql: compares window_start with text"),
        (
            "datetime(:window_start) AND changed_at < :window_start",
            "sql: compares window_start with text",
        ),
        (
            ":window_start_date",
            "sql: asks for window_start_date, but window_start is 2026-11-25T10",
        ),
    ],
)
def test_what_text_cannot_compare_is_refused(database: Database, asks: str, message: str) -> None:
    database.make_table("text", [])
    with pytest.raises(ConfigurationError) as caught:
        found(database, "UTC", f"SELECT label FROM people WHERE changed_at >= {asks}", HOUR)
    assert str(caught.value).startswith(message)


@on_sqlite
@pytest.mark.parametrize("function", ["unixepoch(", "julianday(", "strftime('%s', "])
def test_a_clock_time_is_not_taken_for_utc(database: Database, function: str) -> None:
    database.make_table("integer", [])
    sql = f"SELECT label FROM people WHERE changed_at >= {function}:window_start)"
    with pytest.raises(ConfigurationError, match=r"^window_timezone: 'Europe/Berlin', but sql"):
        found(database, "UTC", sql, DAY, "Europe/Berlin")
    assert found(database, "UTC", sql, DAY) == []


@with_sessions
def test_who_does_not_name_the_zone_is_told_that_the_session_began_elsewhere(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.make_table("date", [])
    sql = "SELECT label FROM people"
    with caplog.at_level(logging.WARNING, "airflow_am_provider"):
        found(database, "UTC", sql, DAY)
        found(database, "Pacific/Kiritimati", sql, DAY, "UTC")
        assert own_messages(caplog) == []
        found(database, "Pacific/Kiritimati", sql, DAY, "")
    (message,) = own_messages(caplog)
    assert message.startswith("The session's time zone is ")
    assert message.split()[5] in {"Pacific/Kiritimati", "+13:00"}
    assert message.endswith("window_timezone='UTC' ends this warning")


@with_sessions
def test_a_zone_that_the_database_does_not_know_is_refused(database: Database) -> None:
    database.make_table("date", [])
    unknown = Zone(name="Mars/Olympus", is_chosen=True)
    asked = QueryWindow(zone=unknown, values={})
    with pytest.raises(ConfigurationError) as caught:
        list(read_sql(database.hook("UTC"), "SELECT label FROM people", None, window=asked))
    assert str(caught.value).startswith(
        "window_timezone: the database does not know the time zone 'Mars/Olympus'."
    )
