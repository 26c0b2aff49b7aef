"""Waits in the triggerer until it is a delivery's turn."""

from __future__ import annotations

from typing import Any

from airflow_am_provider.hooks.polling import Seen
from airflow_am_provider.triggers.polling import PollingTrigger

__all__ = ["QueueTrigger"]


class QueueTrigger(PollingTrigger):
    """Look at the queue of a delivery's target until nothing has to be processed before it.

    Its event is ``{"status": "free" | "timeout" | "error", "message": …}``.

    :param manifest: what the format operator returned, as plain JSON.
    :param audience_manager_conn_id: the Audience Manager connection.
    :param on_older: ``refuse``, ``replay`` or ``send``.
    :param after: what uploads returned that must be acknowledged first, as plain JSON.
    :param in_order: whether to wait for what was sent to the same target before it.
    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param failures: how many looks failed in a row before.
    """

    done = "free"
    # The task says only that it is not its turn.
    is_told = False

    def __init__(
        self,
        *,
        manifest: dict[str, Any],
        audience_manager_conn_id: str,
        on_older: str,
        after: list[dict[str, Any]],
        in_order: bool,
        poll_interval_s: float,
        deadline: str,
        failures: int = 0,
    ) -> None:
        super().__init__(poll_interval_s=poll_interval_s, deadline=deadline, failures=failures)
        self.manifest = manifest
        self.audience_manager_conn_id = audience_manager_conn_id
        self.on_older = on_older
        self.after = after
        self.in_order = in_order

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        path, shared = super().serialize()
        return path, {
            **shared,
            "manifest": self.manifest,
            "audience_manager_conn_id": self.audience_manager_conn_id,
            "on_older": self.on_older,
            "after": self.after,
            "in_order": self.in_order,
        }

    def look(self) -> Seen:
        """Look once at the queue."""
        from airflow_am_provider.deliveries.manifest import Manifest
        from airflow_am_provider.deliveries.queue_gate import QueueGate
        from airflow_am_provider.deliveries.target.commands import OnOlder
        from airflow_am_provider.deliveries.uploads.result import read_deliveries
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        gate = QueueGate(
            targets=AudienceManagerHook(self.audience_manager_conn_id).targets(),
            manifest=Manifest.from_json(self.manifest),
            on_older=OnOlder(self.on_older),
            after=read_deliveries(self.after),
            in_order=self.in_order,
        )
        waits = gate.waits_for()
        known = "; ".join(waits) or "free"
        return Seen(known, is_over=not waits, waited_for=f"{gate.waited_for()}: {known}")
