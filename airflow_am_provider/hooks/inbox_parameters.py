"""Parameters of the tasks that look where Adobe puts its files: named once for all of them."""

from __future__ import annotations

from typing import Any, Final

#: What :func:`~airflow_am_provider.hooks.outbound_inbox.arrival_watch` goes by.
INBOX_PARAMETERS: Final = (
    "location",
    "source_conn_id",
    "destination",
    "batch_date",
    "sync_mode",
    "quiet_period",
    "name_template",
    "timestamp_digits",
    "api_conn_id",
)


def inbox_of(task: object) -> dict[str, Any]:
    """What a task says of them, as its templates rendered it.

    :param task: has an attribute for each.
    """
    return {name: getattr(task, name) for name in INBOX_PARAMETERS}
