"""A task whose time is over, or that is ended from outside, while its database still thinks."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from tests.airflow_compat import AirflowTaskTimeout, timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.local.postgres import Postgres

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

# The first goes by COPY, the second by a cursor, since COPY prints arrays otherwise.
QUERIES = {
    "copy": "SELECT 'ann' AS id, '24' AS traits FROM pg_sleep(60)",
    "cursor": "SELECT 'ann' AS id, ARRAY[24] AS traits FROM pg_sleep(60)",
}


@pytest.fixture(params=QUERIES)
def operator(
    request: pytest.FixtureRequest,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FormatDataFileOperator:
    extra = {"environment": "beta", "partner_name": "acme", "staging_location": str(tmp_path)}
    connection = {"conn_type": "audience_manager", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws"}))
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(postgres.airflow_connection()))
    return FormatDataFileOperator(
        task_id="format",
        conn_id="crm",
        sql=QUERIES[request.param],
        dpid=478,
        id_column="id",
        traits_column="traits",
    )


def execute(operator: FormatDataFileOperator) -> Any:
    return operator.execute({"dag_run": SimpleNamespace(dag_id="d"), "run_id": "r"})


def sleeping(postgres: Postgres) -> int:
    with closing(psycopg2.connect(postgres.uri())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        return int(cursor.fetchone()[0])


@contextmanager
def signal_while_it_sleeps(postgres: Postgres, number: int) -> Iterator[None]:
    """Send this process a signal as soon as the query is under way, and expect a quick end."""
    sent_at: list[float] = []

    def send() -> None:
        deadline = time.monotonic() + 40
        while not sleeping(postgres) and time.monotonic() < deadline:
            time.sleep(0.05)
        sent_at.append(time.monotonic())
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert time.monotonic() - sent_at[0] < 15
    assert sleeping(postgres) == 0


def test_execution_timeout_ends_a_query_that_has_not_answered(
    operator: FormatDataFileOperator, postgres: Postgres
) -> None:
    # Its alarm comes when the query runs, not before, however slow the machine is.
    with (
        timeout(600),
        signal_while_it_sleeps(postgres, signal.SIGALRM),
        pytest.raises(AirflowTaskTimeout),
    ):
        execute(operator)


def test_a_task_ended_from_outside_ends_its_query(
    operator: FormatDataFileOperator, postgres: Postgres
) -> None:
    # As Airflow does it in a task's process.
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    try:
        with (
            signal_while_it_sleeps(postgres, signal.SIGTERM),
            pytest.raises(Exception, match=r"canceling statement due to user request|was stopped"),
        ):
            execute(operator)
    finally:
        signal.signal(signal.SIGTERM, before)
