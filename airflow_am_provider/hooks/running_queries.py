"""Queries under way, and ending them when the task is told to end.

A driver waits for its server inside C, where neither ``execution_timeout`` nor a signal is heard:
a task would stay until the database answers. The server itself can be asked to stop the query.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# A task has its process to itself, so all queries in it are the task's.
_connections: list[Any] = []


@contextmanager
def can_be_cancelled(connection: Any) -> Iterator[None]:
    """Let :func:`cancel_queries` reach what runs on a connection.

    :param connection: of any driver. What runs on one without ``cancel``, as MySQL's, is left to
        answer in its own time.
    """
    if not hasattr(connection, "cancel"):
        yield
        return
    _connections.append(connection)
    try:
        yield
    finally:
        _connections.remove(connection)


def cancel_queries() -> None:
    """Ask the servers to stop the queries under way, which then fail where they are waited for."""
    for connection in tuple(_connections):
        # A server that is gone has nothing to stop.
        with suppress(connection.Error):
            connection.cancel()


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
