"""Connections that lie in Airflow's database, outside of tasks."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# airflow.sdk.execution_time.supervisor.ensure_secrets_backend_loaded
_CONTEXT: Final = "_AIRFLOW_PROCESS_CONTEXT"


@contextmanager
def connections_of_the_database() -> Iterator[None]:
    """Let Airflow look for connections in its database too, as its own commands do.

    Outside of tasks it does so only where this variable says that it may. Within one, the worker
    has set it already, and must not read the database.
    """
    if _CONTEXT in os.environ:
        yield
        return
    os.environ[_CONTEXT] = "server"
    try:
        with _on_airflow_3_1_0() if version("apache-airflow-core") == "3.1.0" else nullcontext():
            yield
    finally:
        os.environ.pop(_CONTEXT, None)


@contextmanager
def _on_airflow_3_1_0() -> Iterator[None]:
    """The same for the one release that knows no such variable, only a list of where to look."""
    from airflow import secrets

    as_in_a_task = secrets.DEFAULT_SECRETS_SEARCH_PATH_WORKERS
    before = list(as_in_a_task)
    as_in_a_task[:] = secrets.DEFAULT_SECRETS_SEARCH_PATH
    try:
        yield
    finally:
        as_in_a_task[:] = before
