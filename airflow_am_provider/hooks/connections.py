"""Airflow connections, with errors that say which field asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow.sdk import BaseHook

from airflow_am_provider.airflow_compat import AirflowNotFoundException, missing_is_not_found
from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

#: The Audience Manager connection of all that names no other.
DEFAULT_CONN_ID: Final = "audience_manager_default"
_OFF: Final = frozenset(("false", "0", "no", "off"))


def get_connection(conn_id: str, *, asked_by: str = "") -> Connection:
    """Get a connection from Airflow.

    :param conn_id: its ID.
    :param asked_by: the field or parameter that names it, for the message.
    :raises ConfigurationError: when there is none.
    """
    try:
        with missing_is_not_found():
            return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        where = f"{asked_by}: " if asked_by else ""
        raise ConfigurationError(
            f"{where}Airflow has no connection {conn_id!r}; create it or name another"
        ) from None


def is_on(extra: Mapping[str, object], name: str) -> bool:
    """Whether a switch in a connection's extra is on, as it is unless turned off.

    >>> is_on({"passive": "False"}, "passive"), is_on({}, "passive")
    (False, True)
    """
    return str(extra.get(name, True)).lower() not in _OFF
