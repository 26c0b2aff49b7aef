"""The time zone of a database session, in which it reads times and dates that name none.

Left to the server, the connection or the worker, the same query sends another day's rows from
another machine.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.query_window import MYSQL

if TYPE_CHECKING:
    from airflow_am_provider.sources.query_window import Zone

_logger = logging.getLogger(__name__)

_POSTGRESQL: Final = frozenset({"psycopg", "psycopg2"})
_DUCKDB: Final = frozenset({"_duckdb", "duckdb"})
# What drivers and servers call the same thing.
_UTC: Final = frozenset({"UTC", "Etc/UTC", "+00:00", "GMT", "Z"})
# SYSTEM is whatever the server's machine has.
_MYSQL_ZONE: Final = (
    "SELECT CASE @@session.time_zone WHEN 'SYSTEM' THEN @@system_time_zone "
    "ELSE @@session.time_zone END"
)
_POSTGRESQL_INVALID_VALUE: Final = "22023"
_MYSQL_UNKNOWN_ZONE: Final = 1298


def run_in_zone(connection: Any, driver: str, zone: Zone) -> None:
    """Have a session read times without a zone in that of the window.

    PostgreSQL has it for the transaction, MySQL and DuckDB for the connection. SQLite has no zone;
    what other databases have is left as it is, see ``docs/windows.md``.

    :param connection: new, and ours alone.
    :param driver: the package that it comes from.
    :param zone: of the window.
    :raises ConfigurationError: when the database does not know the zone.
    """
    if driver in _POSTGRESQL:
        info = connection.info
        there = info.parameter_status("TimeZone")
        statement = f"SET LOCAL timezone TO '{zone.name}'"
    elif driver in MYSQL:
        there = _run(connection, driver, _MYSQL_ZONE)
        # Named zones are not known before somebody has loaded them into the server.
        statement = f"SET time_zone = '{'+00:00' if zone.is_utc else zone.name}'"
    elif driver in _DUCKDB:
        there = _run(connection, driver, "SELECT current_setting('TimeZone')")
        statement = f"SET TimeZone = '{zone.name}'"
    else:
        return
    if there == zone.name or (zone.is_utc and there in _UTC):
        return
    _set(connection, driver, statement, zone)
    if there and not zone.is_chosen:
        _logger.warning(
            "The session's time zone is %s by its server or connection; sql runs in UTC all the "
            "same, as windows do. If its times without a zone belong to another zone, name that "
            "zone in window_timezone; window_timezone='UTC' ends this warning",
            there,
        )


def _set(connection: Any, driver: str, statement: str, zone: Zone) -> None:
    try:
        _run(connection, driver, statement)
    except Exception as error:
        # Each driver has an error of its own for it.
        if not _is_unknown_zone(error):
            raise
        loading = (
            " Load its zones into the server with mysql_tzinfo_to_sql, or leave window_timezone "
            "out and convert in sql." if driver in MYSQL else ""
        )  # fmt: skip
        raise ConfigurationError(
            f"window_timezone: the database does not know the time zone {zone.name!r}.{loading}"
        ) from None


def _run(connection: Any, driver: str, statement: str) -> Any:
    """Run a statement; its only value, if it has one."""
    if driver in _DUCKDB:
        rows = connection.execute(statement).fetchall()
    else:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            rows = [] if cursor.description is None else cursor.fetchall()
    return rows[0][0] if rows else None


def _is_unknown_zone(error: Exception) -> bool:
    # psycopg and psycopg2 each have a name of their own for it.
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return (
        state == _POSTGRESQL_INVALID_VALUE
        or error.args[:1] == (_MYSQL_UNKNOWN_ZONE,)
        or "Unknown TimeZone" in str(error)
    )
