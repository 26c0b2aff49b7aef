"""A database that falls silent, or is gone, while a task reads from it: no task waits for ever."""

from __future__ import annotations

import importlib
import os
import socket
import stat
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.formatting.overlap import prefetched
from airflow_am_provider.sources import running_queries
from airflow_am_provider.sources.running_queries import cancel_queries
from airflow_am_provider.sources.sql import read_sql
from tests.system.relay import Relay, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres

# Airflow's older sets of packages have the older driver only.
DRIVERS = [importlib.import_module(name) for name in ("psycopg", "psycopg2") if find_spec(name)]
# The first goes by COPY, the second by a cursor, since COPY prints arrays otherwise.
QUERIES = {
    "copy": "SELECT n::text AS id, repeat('x', 100) AS pad FROM generate_series(1, 300000) n",
    "cursor": "SELECT n::text AS id, ARRAY[n] AS pad FROM generate_series(1, 300000) n",
}
# 12 MB of the copy, and some batches of the cursor, are through by then.
LATE_ROW = rb"111111"
CANCEL_REQUEST = rb"\x04\xd2\x16\x2e"


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def driver(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def relay(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setattr(running_queries, "STOP_S", 1.0)
    with relay_to(postgres.port) as running:
        yield running


def hook_of(driver: Any, uri: str) -> DbApiHook:
    return cast("DbApiHook", SimpleNamespace(get_conn=lambda: driver.connect(uri)))


def connected_to(port: int) -> set[int]:
    """The numbers of this process's connections to a port."""
    numbers = (int(path.name) for path in Path("/dev/fd").iterdir())
    return {number for number in numbers if _is_connected_to(port, number)}


def own_ports(port: int) -> set[int]:
    """This process's ends of its connections to a port."""
    ports = set()
    for number in connected_to(port):
        # It may be closed since it was found.
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as connected:
            ports.add(connected.getsockname()[1])
    return ports


def _is_connected_to(port: int, number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with socket.socket(fileno=os.dup(number)) as connected:
            return connected.family == socket.AF_INET and connected.getpeername()[1] == port
    except OSError:  # not connected, or not there any more
        return False


@contextmanager
def soon(seconds: float = 10) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@pytest.mark.parametrize("is_cancel_heard", [True, False], ids=["cancel heard", "nothing heard"])
@pytest.mark.parametrize(
    ("driver", "query"),
    [(driver, query) for driver in DRIVERS for query in QUERIES],
    indirect=["driver"],
    ids=lambda value: getattr(value, "__name__", value),
)
class TestSilence:
    @pytest.fixture
    def hook(
        self, relay: Relay, driver: Any, postgres: Postgres, query: str, *, is_cancel_heard: bool
    ) -> Iterator[DbApiHook]:
        # psycopg2 also fetches to see the columns, on the connection that it has.
        relay.fall_silent(b"COPY" if query == "copy" else b"FETCH", answer=LATE_ROW)
        if not is_cancel_heard:
            relay.fall_silent(CANCEL_REQUEST)
        yield hook_of(driver, replace(postgres, port=relay.port).uri())
        # What stays open keeps its session, which waits for somebody to take its rows.
        if relay.silences[0].has_fallen.is_set():
            deadline = time.monotonic() + 3
            while relay.silences[0].client_port in own_ports(relay.port):
                assert time.monotonic() < deadline, "the session's connection stays open"
                time.sleep(0.01)

    def test_reading_ends_when_the_task_is_told_to_end(
        self, relay: Relay, hook: DbApiHook, driver: Any, query: str
    ) -> None:
        silence = relay.silences[0]

        def end() -> None:
            assert silence.has_fallen.wait(20)
            cancel_queries()

        thread = threading.Thread(target=end)
        thread.start()
        with (
            soon(20),
            pytest.raises((TransientError, InterruptedError)),
            closing(prefetched(read_sql(hook, QUERIES[query]))) as batches,
        ):
            for _ in batches:
                pass
        thread.join()

    def test_who_stops_reading_early_is_not_kept(
        self, relay: Relay, hook: DbApiHook, driver: Any, query: str
    ) -> None:
        batches = read_sql(hook, QUERIES[query])
        next(batches)
        if query == "copy" and driver is psycopg2:
            # Only this one is read ahead of who reads.
            assert relay.silences[0].has_fallen.wait(20)
        with soon():
            batches.close()


class TestServersThatAreGone:
    @pytest.mark.parametrize(
        ("parameters", "wanted"),
        [("", (60, 15, 4)), ("?keepalives_idle=900", (900, None, None)), ("?keepalives=0", None)],
        ids=["by default", "as the connection says", "never"],
    )
    def test_are_looked_for_within_minutes(
        self,
        driver: Any,
        postgres: Postgres,
        parameters: str,
        wanted: tuple[int | None, ...] | None,
    ) -> None:
        hook = hook_of(driver, postgres.uri() + parameters)
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        before = connected_to(postgres.port)
        with closing(read_sql(hook, QUERIES["copy"])) as rows:
            next(rows)
            (opened,) = connected_to(postgres.port) - before
            with socket.socket(fileno=os.dup(opened)) as connected:
                is_asked = connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                found = [connected.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        assert bool(is_asked) == (wanted is not None)
        for value, said in zip(found, wanted or (), strict=wanted is not None):
            assert said is None or value == said

    def test_a_session_that_is_terminated_fails_the_task_at_once(
        self, driver: Any, postgres: Postgres
    ) -> None:
        # Sessions of other tests may still be about to end.
        mark = f"terminated of {driver.__name__}"
        rows = read_sql(hook_of(driver, postgres.uri()), f"{QUERIES['copy']} -- {mark}")
        next(rows)
        with closing(psycopg2.connect(postgres.uri())) as other, other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE %s AND pid <> pg_backend_pid()",
                [f"COPY (%-- {mark}%"],
            )
            assert cursor.fetchall() == [(True,)]
        with soon(), pytest.raises(TransientError):
            list(rows)
