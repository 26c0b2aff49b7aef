"""What a database says of a load that fails quotes rows, and so do the logs that show it."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from airflow.providers.postgres.hooks import postgres as postgres_hooks
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_am_provider.airflow_compat import AirflowException
from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    TransientError,
)
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.outbound.statements import Tables
from airflow_am_provider.outbound.table import load_into_table
from tests.outbound.databases import run
from tests.outbound.mysql_hook import DRIVERS, MysqlHook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres
    from tests.outbound.senders import Sender

JANE = "jane.zwick@example.com"
SEGMENT = "8412773"
RAISING = (
    "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE {} "
    "USING MESSAGE = new::text, DETAIL = new.user_id, CONSTRAINT = 'jane'; END $$"
)


def failure(sender: Sender, hook: DbApiHook) -> str:
    """What is said of a load of Jane, of whom nothing is in the error or in what it comes from."""
    root = sender.send(0, "full", f"A 1\n{JANE} {SEGMENT}\n")
    tables = Tables(rows="segments")
    with pytest.raises(AirflowException) as caught, airflow_errors():
        load_into_table(sender.inbox, sender.batch(root), hook, tables)
    logged = "".join(traceback.format_exception(caught.value))
    # Lines of source are shown, too, and the tests' own hold the names.
    logged = "".join(line for line in logged.splitlines() if not line.startswith("    "))
    for error in chain(caught.value):
        logged += f"{error!r}{error}"
        assert isinstance(error, AirflowException | AudienceManagerError)
    assert not [name for name in ("jane", "zwick", SEGMENT) if name in logged.lower()]
    return f"{type(caught.value.__cause__).__name__}: {caught.value}"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that is shown with it."""
    while error is not None:
        yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)


def table(user_id: str, *, time: str = "VARCHAR(40)") -> str:
    return (
        f"CREATE TABLE segments (user_id {user_id}, id_dpid BIGINT, segments TEXT, "
        f"removed_segments TEXT, destination BIGINT, mode TEXT, batch_time {time}, "
        f"batch VARCHAR(200))"
    )


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    document = {"conn_type": "sqlite", "host": str(tmp_path / "w.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(document))
    return SqliteHook("warehouse")


@pytest.fixture(params=[True, False], ids=["psycopg", "psycopg2"])
def postgresql(
    request: pytest.FixtureRequest, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> DbApiHook:
    monkeypatch.setattr(postgres_hooks, "USE_PSYCOPG3", request.param)
    database = f"outbound_{uuid4().hex[:8]}"
    postgres.create_database(database)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(postgres.airflow_connection(database)))
    return postgres_hooks.PostgresHook("warehouse")


def test_sqlite_quotes_no_row(sender: Sender, sqlite: DbApiHook) -> None:
    run(sqlite, table("TEXT CHECK (user_id NOT LIKE '%jane%')"))
    assert failure(sender, sqlite).startswith(
        "DataError: table segments: the database does not take a row: IntegrityError "
        "(SQLITE_CONSTRAINT_CHECK): constraint failed"
    )


TABLE = table("TEXT", time="TIMESTAMPTZ")
AT_ONCE = "CREATE TRIGGER t BEFORE INSERT ON segments FOR EACH ROW EXECUTE FUNCTION raising()"
AT_THE_COMMIT = (
    "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON segments INITIALLY DEFERRED FOR EACH ROW EXECUTE "
    "FUNCTION raising()"
)
TAKES_NO_ROW = "DataError: table segments: the database does not take a row: "
FAILS = "TransientError: table segments: the database did not do what it was asked for: "
REFUSES = "ConfigurationError: table segments: the database refuses a statement: "


@pytest.mark.parametrize(
    ("statements", "kind", "said"),
    [
        (
            [TABLE, "ALTER TABLE segments ADD CONSTRAINT no_mail CHECK (user_id NOT LIKE '%@%')"],
            TAKES_NO_ROW,
            "CheckViolation (SQLSTATE 23514): violates check constraint, 'segments', constraint",
        ),
        (
            [TABLE, "ALTER TABLE segments ADD CONSTRAINT once UNIQUE (mode)"],
            TAKES_NO_ROW,
            "UniqueViolation (SQLSTATE 23505): violates unique constraint, constraint 'once'.",
        ),
        (
            [table("VARCHAR(5)", time="TIMESTAMPTZ")],
            TAKES_NO_ROW,
            "StringDataRightTruncation (SQLSTATE 22001): value too long for type.",
        ),
        ([TABLE, RAISING.format(""), AT_ONCE], FAILS, "RaiseException (SQLSTATE P0001)."),
        (
            [TABLE, RAISING.format("SQLSTATE '23514'"), AT_THE_COMMIT],
            TAKES_NO_ROW,
            "CheckViolation (SQLSTATE 23514).",
        ),
        ([TABLE, RAISING.format("SQLSTATE '57014'"), AT_ONCE], FAILS, "QueryCanceled"),
        (
            ["CREATE TABLE segments (user_id TEXT)"],
            REFUSES,
            "UndefinedColumn (SQLSTATE 42703): does not exist, 'batch'.",
        ),
    ],
    ids=["check", "unique", "length", "trigger", "at the commit", "cancelled", "columns"],
)
def test_postgresql_quotes_no_row(
    sender: Sender, postgresql: DbApiHook, statements: list[str], kind: str, said: str
) -> None:
    run(postgresql, *statements)
    found = failure(sender, postgresql).replace("RaiseError", "RaiseException")
    assert found.startswith(kind + said)
    assert found.endswith("may quote rows; the database's own log may have it")


@pytest.mark.skipif(not DRIVERS, reason="no MariaDB, or no driver of it")
@pytest.mark.parametrize("local_infile", [True, False], ids=["load data", "insert"])
def test_mysql_quotes_no_row(sender: Sender, mysql_port: int, *, local_infile: bool) -> None:
    # With LOCAL, the first is no error of the server: it leaves the row out. Nor is the second: it
    # cuts the ID.
    for user_id in ("VARCHAR(99) CHECK (user_id NOT LIKE '%jane%')", "VARCHAR(9)"):
        hook = MysqlHook(mysql_port, f"rows_{uuid4().hex[:8]}", local_infile=local_infile)
        run(hook, table(user_id))
        said = failure(sender, hook)
        assert ("rows, and warns of some" if local_infile else "Error: table segments: ") in said


def test_what_is_wrong_with_a_file_is_said_whatever_the_driver(
    sender: Sender, postgresql: DbApiHook
) -> None:
    root = sender.send(0, "full", f"{JANE} {SEGMENT}\n", md5="0" * 32)
    with pytest.raises(TransientError, match="not the checksum"):
        load_into_table(sender.inbox, sender.batch(root), postgresql, Tables(rows="segments"))
