"""Deletes from staging what was delivered and acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.parameters import flag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.sdk import Context

__all__ = ["CleanStagingOperator"]


class CleanStagingOperator(BaseOperator):
    """Delete parts and rejects files of deliveries that were acknowledged long enough ago.

    What says what was delivered stays: manifests, records of sending, reconciliations. Nothing of a
    delivery is deleted that is not acknowledged, or that is being sent again. All files
    of attempts that became no delivery, and of writes that broke off, are deleted when they are as
    old.

    :param retention: How long to keep files after the acknowledgement: a number of days, or a text
        such as ``P30D`` or ``P4W``. At least one day. Python code may give a timedelta. Example:
        ``timedelta(days=30)``. (templated)
    :param only_report: Count only, and delete nothing. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :return: plain JSON: ``deliveries``, ``attempts``, ``files``, ``bytes``, ``unacknowledged`` and
        ``dry_run``.
    :raises AirflowFailException: for a wrong retention, and when a manifest cannot be read; nothing
        is deleted then.
    :raises AirflowException: when the staging location does not answer.

    Example::

        CleanStagingOperator(task_id="clean", retention=timedelta(days=30))
    """

    template_fields: Sequence[str] = ("retention", "only_report", "audience_manager_conn_id")
    ui_color = "#e4f0ef"

    def __init__(
        self,
        *,
        retention: timedelta | str | int,
        only_report: bool | str = False,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.retention = retention
        self.only_report = only_report
        self._told = ""
        self.audience_manager_conn_id = audience_manager_conn_id

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Clean staging."""
        from airflow_am_provider.deliveries.cleaning import clean, retention_of
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        with airflow_errors():
            retention = retention_of("retention", self.retention)
            dry_run = flag("only_report", self.only_report)
            targets = AudienceManagerHook(self.audience_manager_conn_id).targets()
            cleaned = clean(targets, retention, now=datetime.now(UTC), dry_run=dry_run)
        self._told = f"{targets.staging.url}, kept for {retention}: {cleaned}"
        return cleaned.to_json()

    def outcome(self, result: dict[str, Any]) -> str:
        """What was deleted, for the last line of the log."""
        return self._told
