"""PostgreSQL's COPY by asyncpg, which hands out rows by the hundred.

libpq, and so psycopg and psycopg2, hand out each row by a call of its own: a quarter of a
microsecond of processor, with Python's lock held. asyncpg, which Airflow's provider for PostgreSQL
brings along, joins all rows that have come.

It needs a connection of its own. One is opened only where it is certain to be another one of the
same: to the address where the hook's own connection goes, not encrypted, and without anything that
was set since. All else is left to the hook's own connection.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.sources import running_queries
from airflow_am_provider.sources.driver_blocks import written_blocks
from airflow_am_provider.sources.running_queries import can_be_cancelled, socket_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOOK: Final = "airflow.providers.postgres.hooks.postgres.PostgresHook"
_CONNECT_S: Final = 10.0
# Who is told to stop first waits so long for rows, if any are on their way.
_MAY_COME_S: Final = 0.2
_STOPPED: Final = "the query was stopped, as the task was told to"
# What a client may choose at its start, and the server tells back.
_SETTINGS_TOLD: Final = ("application_name", "DateStyle", "IntervalStyle", "TimeZone")
_KEEPALIVE: Final = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
# SQLSTATE classes: not supported, no such schema, syntax or access. Another connection may not see
# a temporary table, or may not do what this one may.
_OTHERWISE_THERE: Final = ("0A", "3F", "42")


# Something when a session is not what it was when it began, or encrypted by Kerberos, of which
# drivers do not tell. Its time zone is told, and so taken over.
_OF_ITS_OWN: Final = """
    SELECT 1 WHERE current_user <> %s
        OR EXISTS (
            SELECT FROM pg_catalog.pg_settings WHERE source = 'session' AND name <> 'TimeZone'
        )
        OR EXISTS (
            SELECT FROM pg_catalog.pg_stat_gssapi
            WHERE pid = pg_catalog.pg_backend_pid() AND encrypted
        )
"""


class NotThisWayError(Exception):
    """asyncpg does not get at these rows, and nothing was read; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a connection goes, and as whom.

    :param arguments: for ``asyncpg.connect``.
    :param settings: what the session has chosen.
    :param keepalive: whether the kernel asks if the other side is there, and how often, as options
        of a socket.
    """

    arguments: dict[str, Any] = field(repr=False)
    settings: dict[str, str]
    keepalive: list[tuple[int, int, int]]


def server_of(hook: Any, connection: Any, driver: str) -> Server | None:
    """Where a hook's connection goes, or None where another one could be different.

    :param connection: of psycopg or psycopg2; a transaction is under way, and may be ended by an
        error here.
    :param driver: which of them.
    """
    kind = type(hook)
    if f"{kind.__module__}.{kind.__qualname__}" != _HOOK or find_spec("asyncpg") is None:
        return None
    info = connection.info
    if (connection.pgconn if driver == "psycopg" else info).ssl_in_use:
        return None
    with closing(connection.cursor()) as cursor:
        cursor.execute(_OF_ITS_OWN, [info.user])
        if cursor.fetchone() is not None:
            return None
    with socket_of(connection) as connected:
        is_local = connected.family == socket.AF_UNIX
        host, port = (info.host, info.port) if is_local else connected.getpeername()[:2]
        keepalive = [] if is_local else _keepalive_of(connected)
    return Server(
        arguments={
            "host": host,
            "port": port,
            "user": info.user,
            "password": info.password or None,
            "database": info.dbname,
            "ssl": False,
            "server_settings": {"options": info.options} if info.options else {},
        },
        settings={name: value for name in _SETTINGS_TOLD if (value := info.parameter_status(name))},
        keepalive=keepalive,
    )


def copied_blocks(server: Server, before: str, query: str) -> Iterator[bytearray]:
    """Whole rows in PostgreSQL's CSV, some megabytes at a time.

    :param before: statements that come first, in the same transaction.
    :param query: one SELECT, with its values in it.
    :raises NotThisWayError: before the first row.
    """
    session = _Session(server, before, query)
    with can_be_cancelled(session), written_blocks(session.run, session) as blocks:
        yield from blocks


class _Session:
    """One COPY, which runs in a thread, and is ended from others."""

    #: What :meth:`cancel` raises: nothing.
    Error = ()

    def __init__(self, server: Server, before: str, query: str) -> None:
        self._server = server
        self._before = before
        self._query = query
        self._loop = asyncio.new_event_loop()
        self._file: Any = None
        self._task = self._loop.create_task(self._copy())
        self._is_stopped = False
        self._is_ending = False

    def run(self, file: Any) -> None:
        """Write all rows to a file."""
        self._file = file
        with closing(self._loop):
            try:
                self._loop.run_until_complete(self._task)
            except asyncio.CancelledError:
                raise InterruptedError(_STOPPED) from None

    def cancel(self) -> None:
        """Have the query stopped; what does not answer to that is hung up on."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop)

    def fileno(self) -> int:
        """Nothing to hang up on from outside."""
        raise OSError("hangs up by itself")

    def _stop(self) -> None:
        # asyncpg has the server stop when rows are not taken, and when waiting for rows is
        # cancelled; but not when it is cancelled in the moment in which some have come.
        self._is_stopped = True
        self._loop.call_later(_MAY_COME_S, self._stop_waiting)

    def _stop_waiting(self) -> None:
        # Whoever closes the connection has asked the server already, and waits for its answer.
        if not self._is_ending:
            self._task.cancel()

    async def _copy(self) -> None:
        import asyncpg

        # Without cached statements no server in between needs to know of any.
        connect = partial(asyncpg.connect, timeout=_CONNECT_S, statement_cache_size=0)
        try:
            connection = await connect(**self._server.arguments)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise NotThisWayError(type(error).__name__) from None
        transport = _transport_of(connection)
        if transport is None:
            await connection.close(timeout=_CONNECT_S)
            raise NotThisWayError("another version of it keeps its socket elsewhere")
        is_first = True

        async def write(rows: bytearray) -> None:
            nonlocal is_first
            is_first = False
            if self._is_stopped:
                raise InterruptedError(_STOPPED)
            self._file.write(rows)

        try:
            self._keep_alive(transport)
            chosen = _chosen(self._server.settings, connection.get_settings())
            await connection.execute("; ".join(["BEGIN", *chosen, self._before]))
            await connection.copy_from_query(self._query, output=write, format="csv")
        except asyncpg.PostgresError as error:
            if is_first and str(error.sqlstate).startswith(_OTHERWISE_THERE):
                raise NotThisWayError(type(error).__name__) from None
            raise
        finally:
            self._is_ending = True
            # Waits until the server has stopped what it does. Before asyncpg 0.32 its own limit is
            # none for that.
            try:
                async with asyncio.timeout(running_queries.STOP_S):
                    await connection.close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # asyncpg's own way leaves the socket open when it was about to close it already.
                transport.abort()
            # What was hung up on is closed in the loop's next round, and there must be one.
            await asyncio.sleep(0)

    def _keep_alive(self, transport: asyncio.Transport) -> None:
        connected = transport.get_extra_info("socket")
        for level, option, value in self._server.keepalive:
            connected.setsockopt(level, option, value)


def _transport_of(connection: Any) -> Any:
    """What leads to a connection's socket, which asyncpg does not show."""
    return getattr(connection, "_transport", None)


def _chosen(settings: dict[str, str], there: Any) -> list[str]:
    """Statements for those of some settings that a session does not have by itself.

    Not all are sent with the request for a connection, since a pooler in between refuses some.
    """
    quoted = {name: value.replace("'", "''") for name, value in settings.items()}
    return [
        f"SET LOCAL {name} TO '{value}'"
        for name, value in quoted.items()
        if getattr(there, name, None) != settings[name]
    ]


def _keepalive_of(connected: socket.socket) -> list[tuple[int, int, int]]:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    options += [
        (socket.IPPROTO_TCP, number)
        for name in _KEEPALIVE
        if (number := getattr(socket, name, None)) is not None  # not every system has all of them
    ]
    return [(level, option, connected.getsockopt(level, option)) for level, option in options]
