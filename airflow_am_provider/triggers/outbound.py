"""Waits in the triggerer for batches from Audience Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.hooks.outbound_notes import BatchNotes
from airflow_am_provider.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from airflow_am_provider.hooks.polling import Seen
    from airflow_am_provider.outbound.arrival import ArrivalWatch

__all__ = ["OutboundFilesTrigger"]


class OutboundFilesTrigger(PollingTrigger):
    """Look into an inbox until a batch is complete or the deadline has passed.

    Its event is ``{"status": "arrived" | "timeout" | "error", "message": …}``. With ``arrived``
    comes ``batches``: each one's ID, version, number of files and bytes.

    :param inbox: where files arrive and which are waited for, as the sensor has them.
    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param failures: how many looks failed in a row before.
    :param notes: where the page is told of what is seen; None for nowhere.
    """

    done = "arrived"

    def __init__(
        self,
        *,
        inbox: dict[str, Any],
        poll_interval_s: float,
        deadline: str,
        failures: int = 0,
        notes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(poll_interval_s=poll_interval_s, deadline=deadline, failures=failures)
        self.inbox = inbox
        self.notes = notes
        # Kept between looks: a quiet period is what this very process has seen.
        self._watch: ArrivalWatch | None = None
        self._notes = BatchNotes(**(notes or {"conn_id": None, "origin": None}))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        path, shared = super().serialize()
        return path, {**shared, "inbox": self.inbox, "notes": self.notes}

    def look(self) -> Seen:
        """Look once."""
        from airflow_am_provider.hooks.outbound_inbox import arrival_watch, seen_batches

        self._watch = self._watch or arrival_watch(**self.inbox)
        return seen_batches(self._watch, self._notes)
