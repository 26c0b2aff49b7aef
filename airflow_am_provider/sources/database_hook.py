"""Asks Airflow for the hook of a database: the only module of a feature that knows Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_am_provider.airflow_compat import AirflowNotFoundException, missing_is_not_found
from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook as DbApiHook


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
