"""Airflow connections, with errors that say which field asked for them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from airflow.sdk import BaseHook

from airflow_am_provider.airflow_compat import AirflowNotFoundException, missing_is_not_found
from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

#: The Audience Manager connection of all that names no other.
DEFAULT_CONN_ID: Final = "audience_manager_default"
# airflow.utils.strings.get_random_string, which names connections while they are tested.
_TRANSIENT: Final = re.compile(r"[A-Za-z0-9]{8}")
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


def without_transient(text: str, conn_id: str) -> str:
    """A message about a connection, without the ID that Airflow makes up for its *Test* button.

    :param text: the message.
    :param conn_id: the connection's ID: as it is saved, or eight random letters and digits.

    >>> without_transient("connection 'crm_adobe': bucket: missing", "crm_adobe")
    "connection 'crm_adobe': bucket: missing"
    """
    if not _TRANSIENT.fullmatch(conn_id) or f"AIRFLOW_CONN_{conn_id.upper()}" not in os.environ:
        return text
    shown = text.replace(f" of {conn_id!r}", " of this connection")
    return shown.replace(f"connection {conn_id!r}", "this connection").replace(
        repr(conn_id), "this connection"
    )


def is_on(extra: Mapping[str, object], name: str) -> bool:
    """Whether a switch in a connection's extra is on, as it is unless turned off.

    >>> is_on({"passive": "False"}, "passive"), is_on({}, "passive")
    (False, True)
    """
    return str(extra.get(name, True)).lower() not in _OFF
