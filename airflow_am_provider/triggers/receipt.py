"""Waits in the triggerer for what acknowledges deliveries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_am_provider.audience_manager.errors import AudienceManagerError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_am_provider.hooks.receipts import ReceiptWatch, Standing

MAX_FAILURES: Final = 10


class ReceiptTrigger(BaseTrigger):
    """Look for receipts and markers until all files are acknowledged or the deadline has passed.

    Its event is ``{"status": "acknowledged" | "timeout" | "failed" | "error", "message": …}``:
    ``failed`` is worth a retry, ``error`` is not. With ``acknowledged`` comes ``marked``, the files
    whose markers were seen: who looks after it may not find them any more.

    :param deliveries: what uploads returned, as plain JSON.
    :param audience_manager_conn_id: the Audience Manager connection.
    :param acknowledged_by: ``receipt``, ``processed``, ``any`` or ``all``.
    :param since: older messages are not looked at; ISO 8601.
    :param poll_interval_s: seconds between two looks.
    :param deadline: when to give up; ISO 8601.
    :param marked: files whose markers were seen before.
    :param max_failures: how many looks in a row may fail.
    """

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
        max_failures: int = MAX_FAILURES,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.deliveries = deliveries
        self.audience_manager_conn_id = audience_manager_conn_id
        self.acknowledged_by = acknowledged_by
        self.since = since
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline
        self.marked = marked
        self.max_failures = max_failures

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its parameters, for the database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "deliveries": self.deliveries,
                "audience_manager_conn_id": self.audience_manager_conn_id,
                "acknowledged_by": self.acknowledged_by,
                "since": self.since,
                "poll_interval_s": self.poll_interval_s,
                "deadline": self.deadline,
                "marked": list(self.marked),
                "max_failures": self.max_failures,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; yield one event."""
        # Not asyncio.to_thread: connections are asked for from within the thread, and on Airflow
        # 3.1 the answer finds its way back only through asgiref.
        from asgiref.sync import sync_to_async

        look = sync_to_async(self._look, thread_sensitive=False)
        watch: ReceiptWatch | None = None
        failures, known = 0, ""
        while True:
            try:
                watch, standings = await look(watch)
            except TransientError as error:
                failures += 1
                self.log.warning("Look %d of %d failed: %s", failures, self.max_failures, error)
                if failures >= self.max_failures:
                    yield self._event(
                        "failed", f"{failures} looks in a row failed, at last: {error}"
                    )
                    return
            except AudienceManagerError as error:
                yield self._event("error", str(error))
                return
            else:
                failures = 0
                now_known = "; ".join(map(str, standings))
                if now_known != known:
                    self.log.info("%s", now_known)
                    known = now_known
                if not any(standing.outstanding for standing in standings):
                    marked = [name for standing in standings for name in standing.marked]
                    yield self._event("acknowledged", known, marked=marked)
                    return
            left_s = (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds()
            if left_s <= 0:
                yield self._event("timeout", known or "no look succeeded")
                return
            await asyncio.sleep(min(self.poll_interval_s, left_s))

    def _look(self, watch: ReceiptWatch | None) -> tuple[ReceiptWatch, list[Standing]]:
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
        from airflow_am_provider.hooks.receipts import AcknowledgedBy, ReceiptWatch
        from airflow_am_provider.hooks.sent_delivery import read_deliveries

        watch = watch or ReceiptWatch(
            AudienceManagerHook(self.audience_manager_conn_id),
            read_deliveries(self.deliveries),
            acknowledged_by=AcknowledgedBy(self.acknowledged_by),
            since=datetime.fromisoformat(self.since),
            marked=self.marked,
        )
        return watch, watch.look()

    def _event(self, status: str, message: str, **more: list[str]) -> TriggerEvent:
        # With the deadline: `dag.test()` goes on without what the task was deferred with.
        payload = {"status": status, "message": message, "deadline": self.deadline, **more}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]
