"""Queries under way, and ending them when the task is told to end.

A driver waits for its server inside C, where neither ``execution_timeout`` nor a signal is heard:
a task would stay until the database answers. The server itself can be asked to stop the query; on
one that does not, because it is gone or what lies between swallows the request, is hung up.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.sources.stop_requests import stop_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: How long a server may take to stop a query before it is hung up on.
STOP_S: Final = 10.0
# Told to the kernel, which asks whether the other side is there when nothing has come for so long.
# Its own default is two hours: until then a task waits for a host that is gone. A server that only
# thinks is not disturbed, since its kernel answers.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class _Query:
    """A query under way, until ``over``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._over = threading.Event()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Have it stopped, without waiting for that."""
        # Signals come here: Thread.start() takes a lock that the interrupted code may hold.
        _thread.start_new_thread(self._ask, ())
        _thread.start_new_thread(self._hang_up_late, ())

    def over(self) -> None:
        """Leave the connection alone from now on."""
        with self._lock:
            self._over.set()

    def _ask(self) -> None:
        # A server that is gone has nothing to stop.
        with suppress(self._connection.Error):
            with self._lock:
                if self._over.is_set():
                    return
                ask = stop_request(self._connection, STOP_S)
            ask()

    def _hang_up_late(self) -> None:
        if self._over.wait(STOP_S):
            return
        with self._lock:
            # What is closed meanwhile may have left its number to another file.
            if not self._over.is_set():
                with suppress(OSError), socket_of(self._connection) as connected:
                    connected.shutdown(socket.SHUT_RDWR)


# A task has its process to itself, so all queries in it are the task's.
_queries: list[_Query] = []


@contextmanager
def can_be_cancelled(connection: Any) -> Iterator[None]:
    """Let :func:`cancel_queries` reach what runs on a connection.

    :param connection: of any driver. What runs on one without ``cancel``, as MySQL's, is left to
        answer in its own time.
    """
    if not hasattr(connection, "cancel"):
        yield
        return
    query = _Query(connection)
    _queries.append(query)
    try:
        yield
    finally:
        _queries.remove(query)
        query.over()


def cancel_queries() -> None:
    """Have the queries under way stopped, which then fail where they are waited for.

    Returns at once. What a server has not stopped after :data:`STOP_S` fails all the same.
    """
    for query in tuple(_queries):
        query.stop()


@contextmanager
def stopping(connection: Any) -> Iterator[None]:
    """Have what runs on a connection stopped while the block waits for its end.

    :param connection: of PostgreSQL; it may be unusable afterwards.
    """
    query = _Query(connection)
    query.stop()
    try:
        yield
    finally:
        query.over()


def notice_lost_server(connection: Any) -> None:
    """Have a server's silence looked into within minutes, unless the connection says how.

    :param connection: of PostgreSQL, whose drivers ask the kernel for that, but rarely enough to
        keep a task for hours.
    """
    with suppress(OSError), socket_of(connection) as connected:
        if connected.family == socket.AF_UNIX:
            return
        is_asked = connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        with socket.socket(connected.family) as fresh:
            # Not every system has all of these.
            options = {
                number: seconds
                for name, seconds in _KEEPALIVE.items()
                if (number := getattr(socket, name, None)) is not None
            }
            is_default = all(
                connected.getsockopt(socket.IPPROTO_TCP, number)
                == fresh.getsockopt(socket.IPPROTO_TCP, number)
                for number in options
            )
        if is_asked and is_default:
            for number, seconds in options.items():
                connected.setsockopt(socket.IPPROTO_TCP, number, seconds)


@contextmanager
def cancelled_in_time() -> Iterator[None]:
    """Cancel queries when Airflow's ``execution_timeout`` is over.

    Airflow sets an alarm whose handler raises. Here the queries are cancelled just before, so that
    whatever is waited for on the way out ends soon. Without an alarm, or outside of the main
    thread, this does nothing.
    """
    raises = signal.getsignal(signal.SIGALRM)
    if not callable(raises) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel_and_raise(number: int, frame: FrameType | None) -> None:
        cancel_queries()
        raises(number, frame)

    signal.signal(signal.SIGALRM, cancel_and_raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, raises)


def socket_of(connection: Any) -> socket.socket:
    """A second handle of a connection's socket, for who closes it.

    :raises OSError: when it has none, or none any more.
    """
    try:
        number = connection.fileno()
    except Exception as error:  # each driver has an error of its own for a closed one
        raise OSError("not connected") from error
    return socket.socket(fileno=os.dup(number))
