"""Hooks of databases and their lines: the only module of a feature that knows Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowNotFoundException,
    missing_is_not_found,
)
from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook as DbApiHook

# Each is shown where it stands in what a driver says, and nothing around it: that may be anything,
# a password in a URL among it.
_WORDS: Final = (
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "timeout expired",
    "timed out",
    "No route to host",
    "Network is unreachable",
    "Name or service not known",
    "could not translate host name",
    "Unknown MySQL server host",
    "server closed the connection unexpectedly",
    "the database system is starting up",
    "the database system is shutting down",
    "too many clients",
    "Too many connections",
    "no pg_hba.conf entry",
    "password authentication failed",
    "no password supplied",
    "Access denied",
    "Unknown database",
    "does not exist",
    "certificate verify failed",
    "unable to open database file",
)


def connect(hook: DbApiHook) -> Any:
    """A line to a hook's database.

    :param hook: of any common-sql connection.
    :return: the driver's own connection.
    :raises TransientError: when there is none. It names the Airflow connection, and never repeats
        what a driver says beyond a list of words.
    """
    try:
        return hook.get_conn()
    except (AudienceManagerError, AirflowException, InterruptedError):
        raise
    except Exception as error:  # noqa: BLE001  # each driver has errors of its own
        name = getattr(hook, hook.conn_name_attr)
        said = [words for words in _WORDS if words in str(error)]
        what = ": ".join([type(error).__name__, *([", ".join(said)] if said else [])])
        raise TransientError(
            f"connection {name!r}: its database cannot be reached ({what}). Does it run, is there "
            f"a way to it from this worker, and are host, port, schema, login and password of the "
            f"connection right? The rest of the driver's words is left out, as it may hold secrets"
        ) from None


def database_hook(conn_id: str, *, asked_by: str) -> DbApiHook:
    """The hook of a database's connection.

    :param conn_id: any common-sql connection.
    :param asked_by: the parameter that names it, for the message.
    :raises ConfigurationError: when there is no such connection.
    """
    try:
        with missing_is_not_found():
            hook: DbApiHook = BaseHook.get_hook(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"{asked_by}: Airflow has no connection {conn_id!r}; create it or name another"
        ) from None
    return hook
