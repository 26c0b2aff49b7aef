"""Waits in the triggerer for what acknowledges deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_am_provider.hooks.polling import Seen
from airflow_am_provider.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.acknowledgement import ReceiptWatch

__all__ = ["ReceiptTrigger"]


class ReceiptTrigger(PollingTrigger):
    """Look for receipts and markers until all files are acknowledged or the deadline has passed.

    Its event is ``{"status": "acknowledged" | "timeout" | "error", "message": …}``. With
    ``acknowledged`` comes ``marked``, the files whose markers were seen: who looks after it may not
    find them any more.

    :param deliveries: what uploads returned, as plain JSON.
    :param audience_manager_conn_id: the Audience Manager connection.
    :param acknowledged_by: ``picked_up``, ``processed``, ``counted`` or ``wait``.
    :param since: older messages are not looked at; ISO 8601.
    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param marked: files whose markers were seen before.
    :param wait_s: seconds of a fixed wait.
    :param failures: how many looks failed in a row before.
    """

    done = "acknowledged"

    def __init__(
        self,
        *,
        deliveries: list[dict[str, Any]],
        audience_manager_conn_id: str,
        acknowledged_by: str,
        since: str,
        poll_interval_s: float,
        deadline: str,
        marked: Sequence[str] = (),
        wait_s: float = 24 * 3600,
        failures: int = 0,
    ) -> None:
        super().__init__(poll_interval_s=poll_interval_s, deadline=deadline, failures=failures)
        self.deliveries = deliveries
        self.audience_manager_conn_id = audience_manager_conn_id
        self.acknowledged_by = acknowledged_by
        self.since = since
        self.marked = marked
        self.wait_s = wait_s
        # Kept between looks: each message is fetched once.
        self._watch: ReceiptWatch | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        path, shared = super().serialize()
        return path, {
            **shared,
            "deliveries": self.deliveries,
            "audience_manager_conn_id": self.audience_manager_conn_id,
            "acknowledged_by": self.acknowledged_by,
            "since": self.since,
            "marked": list(self.marked),
            "wait_s": self.wait_s,
        }

    def look(self) -> Seen:
        """Look once for receipts and markers."""
        from airflow_am_provider.deliveries.acknowledgement import ReceiptWatch
        from airflow_am_provider.deliveries.signs import AcknowledgedBy
        from airflow_am_provider.deliveries.uploads.result import read_deliveries
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.hooks.looking import not_yet

        self._watch = self._watch or ReceiptWatch(
            AudienceManagerHook(self.audience_manager_conn_id),
            read_deliveries(self.deliveries),
            acknowledged_by=AcknowledgedBy(self.acknowledged_by),
            since=datetime.fromisoformat(self.since),
            marked=self.marked,
            wait=timedelta(seconds=self.wait_s),
        )
        statuses = self._watch.look()
        if any(status.outstanding for status in statuses):
            return not_yet(self._watch, statuses)
        marked = [name for status in statuses for name in status.marked]
        return Seen(self._watch.known(statuses), is_over=True, result={"marked": marked})
