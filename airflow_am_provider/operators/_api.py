"""Adobe's REST API, where the Audience Manager connection names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook


def api_of(hook: AudienceManagerHook, needed_for: str) -> AudienceManagerApiHook:
    """The API of a connection.

    :param hook: of the connection.
    :param needed_for: what asks it, for the message.
    :raises ConfigurationError: when the connection names none.
    """
    from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook

    if not hook.settings.api_conn_id:
        raise ConfigurationError(
            f"connection {hook.audience_manager_conn_id!r}: api_conn_id: missing; it names the "
            f"connection of Adobe's REST API, which {needed_for} asks"
        )
    return AudienceManagerApiHook(hook.settings.api_conn_id)
